"""Bugs that are planted in the real code: the simulation finds each of them."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from agents import dispatch
from agents.core import commands, folding
from agents.core.events import Succeeded
from agents.core.states import StepState
from agents.deadlines import DeadlineHeap, DeadlineKind
from agents.running import Running
from agents.scheduling import Lane, Ticket, Window
from agents.tables import DEADLINES, REGISTRY, STEPS, Tables
from streams.runtime.commit import GroupCommit, Pending
from streams.runtime.coordinator import CoordinatorHost
from streams.runtime.hanging import HangingTransactions
from streams.runtime.partition import PartitionTask
from streams.runtime.transactions import LastTransaction
from streams.runtime.watch import DeadlineWatch
from streams.runtime.writer import Writer
from tests.simulation import world as simulated
from tests.simulation.checks import broken
from tests.simulation.clients import Consumer, Producer

SEEDS = 1000
"""In so many runs each bug is found."""
Patch = pytest.MonkeyPatch


def commit_before_requests_are_acknowledged(patch: Patch) -> None:
    original = GroupCommit.add

    def add(self: GroupCommit, part: Pending) -> None:
        part.requests = []
        original(self, part)

    patch.setattr(GroupCommit, "add", add)


def forget_fencing(patch: Patch) -> None:
    numbers = count()
    original = Producer.__init__

    def init(self: Producer, broker: Any, name: str | None = None) -> None:
        unique = None if name is None else f"{name}-{next(numbers)}"
        original(self, broker, unique)

    patch.setattr(Producer, "__init__", init)


def replay_uncommitted_rows(patch: Patch) -> None:
    original = Consumer.__init__

    def init(self: Consumer, broker: Any, isolation_level: str = "") -> None:
        original(self, broker, "")

    patch.setattr(Consumer, "__init__", init)


def fold_a_repeated_success_again(patch: Patch) -> None:
    def again(progress: Any, event: Any, _now: int, _bounds: Any) -> list[Any]:
        ready = progress.release(event.step)
        return folding._request(progress, ready)

    key = (StepState.COMPLETED, Succeeded)
    patch.setitem(folding.STEP_FOLDS, key, again)


def fire_limits_before_the_backlog_is_folded(patch: Patch) -> None:
    patch.setattr(DeadlineWatch, "_is_passed", lambda self, barrier: True)


def drop_halts(patch: Patch) -> None:
    known = dict(dispatch._END_COMMANDS)
    known[commands.HaltSteps] = lambda *_: None
    patch.setattr(dispatch, "_END_COMMANDS", known)


def leave_positions_out_of_the_transaction(patch: Patch) -> None:
    def put(self: Tables, topic: str, offset: int) -> None:
        self.positions[topic] = offset

    patch.setattr(Tables, "put_position", put)


def commit_one_too_far(patch: Patch) -> None:
    original = Tables.put_position

    def put(self: Tables, topic: str, offset: int) -> None:
        original(self, topic, offset + 1)
        self.positions[topic] = offset

    patch.setattr(Tables, "put_position", put)


def read_on_one_too_far(patch: Patch) -> None:
    original = CoordinatorHost._offsets

    async def offsets(self: CoordinatorHost, assigned: Any) -> Any:
        found = await original(self, assigned)
        return {tp: at + 1 if at else 0 for tp, at in found.items()}

    patch.setattr(CoordinatorHost, "_offsets", offsets)


def keep_partitions_over_a_gap(patch: Patch) -> None:
    def lost(self: CoordinatorHost, wanted: set[int], _generation: int) -> list[int]:
        return [number for number in self._owned if number not in wanted]

    patch.setattr(CoordinatorHost, "_lost", lost)


def _lose(patch: Patch, unwanted: Callable[[bytes, bytes | None], bool]) -> None:
    original = Tables.load

    def load(self: Tables, key: bytes, value: bytes | None) -> None:
        if not unwanted(key, value):
            original(self, key, value)

    patch.setattr(Tables, "load", load)


def forget_a_step_row_on_recovery(patch: Patch) -> None:
    _lose(patch, lambda key, _: key[:1] == STEPS and key.endswith(b"\0\0"))


def lose_retry_timers_on_recovery(patch: Patch) -> None:
    kind = bytes([DeadlineKind.RETRY])
    _lose(
        patch,
        lambda key, value: key[:1] == DEADLINES and (value or b"")[8:9] == kind,
    )


def lose_limits_on_recovery(patch: Patch) -> None:
    patch.setattr(DeadlineHeap, "rebuild", lambda self: None)


def admit_duplicates_after_a_restart(patch: Patch) -> None:
    _lose(patch, lambda key, _: key[:1] == REGISTRY)


def emit_results_outside_the_transaction(patch: Patch) -> None:
    original = GroupCommit.add

    def add(self: GroupCommit, part: Pending) -> None:
        early = [each for each in part.records if each.topic.startswith("results.")]
        part.records = [each for each in part.records if each not in early]
        if early:
            self._emit(early)
        original(self, part)

    patch.setattr(GroupCommit, "add", add)


def count_outcomes_of_older_attempts(patch: Patch) -> None:
    from agents import coordinator as folded

    original = folding.fold

    def fold(progress: Any, event: Any, now: int, bounds: Any) -> Any:
        if isinstance(event, Succeeded):
            event = replace(event, attempt=progress.attempt(event.step))
        return original(progress, event, now, bounds)

    patch.setattr(folded, "fold", fold)


def commit_requests_that_are_not_answered(patch: Patch) -> None:
    original = Window.enter

    def enter(self: Window, position: Any) -> Any:
        ticket = original(self, position)
        self.settle(ticket)
        return ticket

    patch.setattr(Window, "enter", enter)


def do_not_drain_on_revocation(patch: Patch) -> None:
    async def quiesce(self: PartitionTask) -> None:
        self._stopping = True
        self._inbox.clear()
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None
            self.commit._pending = Pending()
            await self.commit.drain()

    patch.setattr(PartitionTask, "quiesce", quiesce)


def drop_an_older_attempt(patch: Patch) -> None:
    original = Running.take

    def take(self: Running, ticket: Ticket, lane: Lane) -> None:
        current = self._current.get(ticket.step)
        if current is not None and ticket.number < current.number:
            self._conditions.settle([ticket])
        else:
            original(self, ticket, lane)

    patch.setattr(Running, "take", take)


async def _ready(_self: Writer, *_logs: Any) -> None:
    """Nothing is looked for."""


def write_behind_a_hanging_transaction(patch: Patch) -> None:
    patch.setattr(Writer, "make_ready", _ready)


def replay_before_the_changelog_is_whole(patch: Patch) -> None:
    patch.setattr(Writer, "take_over", _ready)


def fence_without_a_leader(patch: Patch) -> None:
    async def fence(self: Writer) -> None:
        self.before = await self._last()
        await self.producer.start()

    patch.setattr(Writer, "fence", fence)


def take_what_hangs_for_aborted(patch: Patch) -> None:
    patch.setattr(LastTransaction, "was_committed", lambda self, tp: False)


def never_look_for_what_hangs(patch: Patch) -> None:
    patch.setattr(HangingTransactions, "look", lambda self: asyncio.sleep(0))


MUTATIONS = (
    commit_before_requests_are_acknowledged,
    forget_fencing,
    replay_uncommitted_rows,
    fold_a_repeated_success_again,
    fire_limits_before_the_backlog_is_folded,
    drop_halts,
    leave_positions_out_of_the_transaction,
    commit_one_too_far,
    read_on_one_too_far,
    keep_partitions_over_a_gap,
    forget_a_step_row_on_recovery,
    lose_retry_timers_on_recovery,
    lose_limits_on_recovery,
    admit_duplicates_after_a_restart,
    emit_results_outside_the_transaction,
    count_outcomes_of_older_attempts,
    commit_requests_that_are_not_answered,
    do_not_drain_on_revocation,
)
ONLY_UNDER_STALLS = (drop_an_older_attempt,)
"""They show when much is folded that is never committed."""
ONLY_UNDER_LOSSES = (
    write_behind_a_hanging_transaction,
    replay_before_the_changelog_is_whole,
    fence_without_a_leader,
    take_what_hangs_for_aborted,
    never_look_for_what_hangs,
)
"""They show when transactions end in logs that have no leader."""
IN_THE_FOLDS = (count_outcomes_of_older_attempts,)
"""They replace what other compiled modules call directly, once compiled."""
PLANTED = [
    pytest.param(
        *(plant, mode),
        marks=[pytest.mark.interpreted] if plant in IN_THE_FOLDS else [],
        id=plant.__name__,
    )
    for mode, plants in (
        (None, MUTATIONS),
        ("with_stalls", ONLY_UNDER_STALLS),
        ("with_losses", ONLY_UNDER_LOSSES),
    )
    for plant in plants
]


def finding_seed(seeds: Iterable[int], mode: str | None) -> int | None:
    """The first seed whose run breaks a promise."""
    modes = {} if mode is None else {mode: True}
    for seed in seeds:
        if broken(simulated.simulate(seed, **modes)):
            return seed
    return None


@pytest.mark.timeout(900)  # some take hundreds of runs to show
@pytest.mark.parametrize(("plant", "mode"), PLANTED)
def test_a_planted_bug_is_found(
    plant: Callable[[Patch], None], mode: str | None
) -> None:
    """And the same seed passes without it."""
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        seed = finding_seed(range(SEEDS), mode)
    assert seed is not None
    assert finding_seed([seed], mode) is None
