"""Judges from looks at what is to be done whether it gets done."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """How something stands."""

    CAUGHT_UP = "caught up"
    PROGRESSING = "progressing"
    STILL = "still"
    """There is something to do, and since the last look nothing was done."""
    WAITING = "waiting"
    """It may stand still: the look says why."""
    HELD = "held"
    """All that may be read is done; behind it somebody's transaction is open."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen of a source of work at one moment.

    Attributes:
        name: what it is, for log lines.
        todo: how much waits to be done.
        stands: whatever changes when something is done.
        excuse: why it may stand still, if it may.
        held: whether more would be to do, were it not for an open transaction.
        facts: what health reports tell besides.
    """

    name: str
    todo: int
    stands: Hashable
    excuse: str | None = None
    held: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    def state(self, *, moved: bool) -> State:
        """How it stands, given whether it has moved since the look before."""
        if self.todo == 0:
            return State.HELD if self.held else State.CAUGHT_UP
        if self.excuse is not None:
            return State.WAITING
        return State.PROGRESSING if moved else State.STILL


@dataclass(frozen=True, slots=True)
class Standing:
    """A look, and for how long it has looked like that.

    Attributes:
        still_s: how long nothing was done although there was something to do.
        held_s: how long all that is to be done was held back.
    """

    look: Look
    state: State
    still_s: float
    held_s: float


@dataclass(slots=True)
class _Memory:
    stands: Hashable
    still_s: float = 0.0
    held_s: float = 0.0


class Progress:
    """Remembers for how long each source has not moved.

    Args:
        period_s: between two looks. A pause between them that is much longer was one
            of the whole process, or its machine, and is not held against anybody.
    """

    def __init__(self, period_s: float) -> None:
        self._most_s = 2 * period_s
        self._memories: dict[str, _Memory] = {}
        self._looked: float | None = None

    def see(self, looks: Iterable[Look], now: float) -> list[Standing]:
        """Judge looks of the same moment; sources that are not among them end."""
        since = now if self._looked is None else self._looked
        passed, self._looked = min(now - since, self._most_s), now
        before, self._memories = self._memories, {}
        return [self._judge(look, before.get(look.name), passed) for look in looks]

    def _judge(self, look: Look, before: _Memory | None, passed: float) -> Standing:
        memory = before or _Memory(look.stands)
        state = look.state(moved=before is None or memory.stands != look.stands)
        memory.stands = look.stands
        memory.still_s = memory.still_s + passed if state is State.STILL else 0.0
        memory.held_s = memory.held_s + passed if state is State.HELD else 0.0
        self._memories[look.name] = memory
        return Standing(look, state, memory.still_s, memory.held_s)
