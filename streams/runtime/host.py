"""What the runtime asks of a process that consumes partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from faust.types import TP

from streams.runtime.progress import Look


@dataclass(frozen=True, slots=True)
class LogEnds:
    """Where logs end, as brokers have said a moment ago.

    Attributes:
        all: everything that was written.
        stable: what a read_committed consumer may read: less than all while a
            transaction is open.
    """

    all: Mapping[TP, int]
    stable: Mapping[TP, int]

    def look(self, tp: TP, reached: int, excuse: str | None, **facts: Any) -> Look:
        """What is seen of a source partition that is read up to an offset."""
        end = self.all.get(tp, reached)
        stable = self.stable.get(tp, end)
        return Look(
            f"{tp.topic}/{tp.partition}",
            todo=max(stable - reached, 0),
            stands=reached,
            excuse=excuse,
            held=stable <= reached < end,
            facts={"position": reached, "end": end, **facts},
        )


class Host(Protocol):
    """Owns what is assigned: a coordinator's partitions or a worker's intake.

    The order of calls in one generation is `assign`, `start`, then `deliver` for
    each chunk, and `quiesce` before the next generation or the end.
    """

    async def assign(self, assigned: frozenset[TP], generation: int) -> dict[TP, int]:
        """Take over these source partitions; return the offsets to read on from."""

    def start(self, generation: int, offsets: Mapping[TP, int]) -> None:
        """Begin to process: the consumer stands at `offsets`, the flow resumes."""

    def deliver(self, generation: int, tp: TP, records: list[Any]) -> None:
        """Take a chunk of consecutive records of one partition."""

    async def on_lost_position(self, tp: TP, position: int) -> None:
        """End the process: the log of a partition does not reach its position."""

    async def quiesce(self) -> None:
        """Finish what was delivered; nothing is delivered until the next start."""

    async def close(self) -> None:
        """Give everything back: the process is about to leave."""

    @property
    def is_live(self) -> bool:
        """Whether an assignment is taken over and processed now."""

    def sources(self) -> list[TP]:
        """The source partitions that are read; some other one if there is none."""

    async def ask_ends(self, tps: list[TP]) -> Mapping[TP, int]:
        """Ask where these logs end now, uncommitted records included."""

    def looks(self, ends: LogEnds) -> list[Look]:
        """Look at everything that must move when there is something to do."""

    def clients(self) -> Mapping[str, Any]:
        """The broker clients of this process, by what they are for."""
