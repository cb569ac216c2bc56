"""The coordinator's tables of one partition, as they lie in its changelog.

| table     | key after its letter         | value                              |
|-----------|------------------------------|------------------------------------|
| plans     | `p` plan id                  | PlanRow, written once              |
| steps     | `s` plan id, step number     | StepRow, one a transition          |
| deadlines | `d` plan id, step number     | Deadline                           |
| registry  | `r` plan id                  | RegistryRow, kept a while          |
| children  | `c` plan id                  | ParentReference, kept as long (R39)|
| orphans   | `o` plan id                  | ParentEnded, until the child comes |

Plan ids are 16 bytes, step numbers 2. One changelog holds them all: a transaction
pays for each partition it touches, not for rows (docs/adr/0001). The same changelog
holds, under reserved keys, the source offsets up to which the rows are folded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, TypeVar
from uuid import UUID

PLANS, STEPS, DEADLINES, REGISTRY = b"p", b"s", b"d", b"r"
CHILDREN, ORPHANS = b"c", b"o"
POSITION = b"\0position:"
POISON = b"\0poison:"
PLAN_ITSELF = 0xFFFF
"""Stands for the plan where a step number is asked: more than any step has."""

_STEP_NUMBER = struct.Struct(">H")
_DEADLINE = struct.Struct(">QBI")
_POISON = struct.Struct(">QI")


class Deadline(NamedTuple):
    """When something is to happen to a plan or a step."""

    due_at: int
    kind: int
    """A `DeadlineKind` of agents.deadlines."""
    attempt: int


class Poison(NamedTuple):
    """A source offset whose fold raised, and how often."""

    offset: int
    crashes: int


def plan_key(plan_id: str) -> bytes:
    """The 16 bytes of a canonical UUID."""
    return bytes.fromhex(plan_id.replace("-", ""))


def plan_id_of(key: bytes) -> str:
    """The canonical UUID of a key's first 16 bytes."""
    return str(UUID(bytes=key[:16]))


def step_key(plan: bytes, number: int) -> bytes:
    """The key of a step of a plan, or of the plan itself (`PLAN_ITSELF`)."""
    return plan + _STEP_NUMBER.pack(number)


def step_number_of(key: bytes) -> int:
    """The step number in a key made by `step_key`."""
    number: int = _STEP_NUMBER.unpack_from(key, 16)[0]
    return number


class Tables:
    """Rows of one partition in memory, and the changes not yet taken for a commit."""

    __slots__ = (
        "changes",
        "children",
        "deadlines",
        "origins",
        "orphans",
        "plans",
        "poison",
        "positions",
        "registry",
        "stamps",
        "steps",
    )

    def __init__(self) -> None:
        self.plans: dict[bytes, bytes] = {}
        self.steps: dict[bytes, bytes] = {}
        self.deadlines: dict[bytes, Deadline] = {}
        self.registry: dict[bytes, bytes] = {}
        self.children: dict[bytes, bytes] = {}
        self.orphans: dict[bytes, bytes] = {}
        self.positions: dict[str, int] = {}
        self.origins: dict[str, str] = {}
        """By source topic: which logs the position that was loaded is one of."""
        self.stamps: dict[str, str] = {}
        """By source topic: which logs the positions that are put are ones of."""
        self.poison: dict[str, Poison] = {}
        self.changes: dict[bytes, bytes | None] = {}

    # -- writes, remembered for the changelog

    def put_plan(self, plan: bytes, row: bytes) -> None:
        """Add an open plan."""
        self.plans[plan] = self.changes[PLANS + plan] = row

    def put_step(self, plan: bytes, number: int, row: bytes) -> None:
        """Set a step's progress."""
        key = step_key(plan, number)
        self.steps[key] = self.changes[STEPS + key] = row

    def put_deadline(self, plan: bytes, number: int, deadline: Deadline) -> bytes:
        """Arm a limit or a retry; it replaces what was armed under this key.

        Returns:
            The key, for who refers to the row: one object a row is enough.
        """
        key = step_key(plan, number)
        self.deadlines[key] = deadline
        self.changes[DEADLINES + key] = _DEADLINE.pack(*deadline)
        return key

    def drop_deadline(self, plan: bytes, number: int) -> None:
        """Disarm; nothing happens when nothing was armed."""
        key = step_key(plan, number)
        if self.deadlines.pop(key, None) is not None:
            self.changes[DEADLINES + key] = None

    def put_registry(self, plan: bytes, row: bytes) -> None:
        """Remember an ended plan."""
        self.registry[plan] = self.changes[REGISTRY + plan] = row

    def drop_registry(self, plan: bytes) -> None:
        """Forget an ended plan, and whose child it was."""
        del self.registry[plan]
        self.changes[REGISTRY + plan] = None
        if self.children.pop(plan, None) is not None:
            self.changes[CHILDREN + plan] = None

    def put_child(self, plan: bytes, row: bytes) -> None:
        """Remember whose child a plan is."""
        self.children[plan] = self.changes[CHILDREN + plan] = row

    def put_orphan(self, plan: bytes, row: bytes) -> None:
        """Remember that the parent of a plan that has not come yet has ended."""
        self.orphans[plan] = self.changes[ORPHANS + plan] = row

    def drop_orphan(self, plan: bytes) -> None:
        """Forget an orphan: it has come, or can come no longer."""
        del self.orphans[plan]
        self.changes[ORPHANS + plan] = None

    def drop_plan(self, plan: bytes, steps: int) -> None:
        """Tombstone an ended plan's rows in plans, steps and deadlines."""
        if self.plans.pop(plan, None) is not None:
            self.changes[PLANS + plan] = None
        for number in range(steps):
            key = step_key(plan, number)
            if self.steps.pop(key, None) is not None:
                self.changes[STEPS + key] = None
            self.drop_deadline(plan, number)
        self.drop_deadline(plan, PLAN_ITSELF)

    def put_position(self, topic: str, offset: int) -> None:
        """Set how far a source topic is folded."""
        self.positions[topic] = offset
        text = f"{offset} {self.stamps.get(topic, '')}".rstrip()
        self.changes[POSITION + topic.encode()] = text.encode()

    def put_poison(self, topic: str, poison: Poison) -> None:
        """Remember that the fold of a record raised."""
        self.poison[topic] = poison
        self.changes[POISON + topic.encode()] = _POISON.pack(*poison)

    def take_changes(self) -> dict[bytes, bytes | None]:
        """What changed since the last call, newest value a key; None is a tombstone."""
        changes, self.changes = self.changes, {}
        return changes

    # -- reads

    def steps_of(self, plan: bytes, steps: int) -> Iterator[tuple[int, bytes]]:
        """The rows of a plan's steps, by number; steps that wait have none."""
        for number in range(steps):
            row = self.steps.get(step_key(plan, number))
            if row is not None:
                yield number, row

    def step_row(self, plan: bytes, number: int) -> bytes:
        """The row of a step that has one."""
        return self.steps[step_key(plan, number)]

    def knows(self, plan: bytes) -> bool:
        """Whether this plan id is used: open, or ended and remembered (R14)."""
        return plan in self.plans or plan in self.registry

    # -- replay

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record.

        Raises:
            ValueError: the key is of no table: the changelog is not ours, or newer.
        """
        if key.startswith(POSITION):
            topic = key[len(POSITION) :].decode()
            offset, _, origin = (value or b"0").decode().partition(" ")
            self.positions[topic], self.origins[topic] = int(offset), origin
        elif key.startswith(POISON):
            topic = key[len(POISON) :].decode()
            self.poison[topic] = Poison(*_POISON.unpack(value or b"\0" * 12))
        elif key[:1] == DEADLINES:
            deadline = None if value is None else Deadline(*_DEADLINE.unpack(value))
            _put(self.deadlines, key[1:], deadline)
        else:
            _put(self._rows(key[:1]), key[1:], value)

    def _rows(self, letter: bytes) -> dict[bytes, bytes]:
        rows = {
            PLANS: self.plans,
            STEPS: self.steps,
            REGISTRY: self.registry,
            CHILDREN: self.children,
            ORPHANS: self.orphans,
        }.get(letter)
        if rows is not None:
            return rows
        raise ValueError(f"a changelog key begins with {letter!r}: no table of ours")


_V = TypeVar("_V")


def _put(rows: dict[bytes, _V], key: bytes, value: _V | None) -> None:
    if value is None:
        rows.pop(key, None)
    else:
        rows[key] = value
