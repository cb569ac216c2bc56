from __future__ import annotations

from faust.types import TP

from streams.runtime.host import LogEnds
from streams.runtime.progress import Look, Progress, Standing, State

PLANS = TP("plans", 3)


def see(progress: Progress, now: float, todo: int, stands: int) -> Standing:
    """Look at one source."""
    (standing,) = progress.see([Look("plans/3", todo, stands)], now)
    return standing


def test_what_has_work_and_does_not_move_is_still() -> None:
    """Its time counts from the first look at which nothing had moved."""
    progress = Progress(1)
    see(progress, 0, todo=5, stands=7)
    assert see(progress, 1, todo=5, stands=8).state is State.PROGRESSING
    seen = [see(progress, now, todo=9, stands=8) for now in (2, 3, 4)]
    assert [each.state for each in seen] == [State.STILL] * 3
    assert [each.still_s for each in seen] == [1, 2, 3]


def test_a_move_or_an_end_of_the_work_starts_the_time_anew() -> None:
    """One record in a while is progress, and so is having nothing to do."""
    progress = Progress(1)
    for now in (0, 1, 2):
        see(progress, now, todo=5, stands=8)
    assert see(progress, 3, todo=4, stands=9).still_s == 0
    assert see(progress, 4, todo=4, stands=9).still_s == 1
    caught_up = see(progress, 5, todo=0, stands=9)
    assert (caught_up.state, caught_up.still_s) == (State.CAUGHT_UP, 0)


def test_an_excuse_holds_the_time_at_zero() -> None:
    """Back-pressure that is meant is no fault, however long it lasts."""
    progress = Progress(1)
    look = Look("plans/3", 5, 8, excuse="max_plans_in_flight plans are open")
    seen = [progress.see([look], now)[0] for now in range(100)]
    assert (seen[-1].state, seen[-1].still_s) == (State.WAITING, 0)


def test_a_pause_of_the_whole_process_is_nobodys_fault() -> None:
    """After SIGCONT, or a machine's sleep, an hour has passed for nothing."""
    progress = Progress(1)
    see(progress, 0, todo=5, stands=8)
    assert see(progress, 3600, todo=5, stands=8).still_s == 2


def test_a_source_that_was_given_away_is_forgotten() -> None:
    """When it comes back its time starts anew."""
    progress = Progress(1)
    see(progress, 0, todo=5, stands=8)
    see(progress, 1, todo=5, stands=8)
    progress.see([], 2)
    assert see(progress, 3, todo=5, stands=8).still_s == 0


def test_a_log_that_an_open_transaction_holds_is_held_not_still() -> None:
    """The end of the log cannot be read, and a restart would change nothing."""
    progress = Progress(1)
    ends = LogEnds(all={PLANS: 20}, stable={PLANS: 12})
    seen = [progress.see([ends.look(PLANS, 12, None)], now)[0] for now in range(200)]
    assert (seen[-1].state, seen[-1].still_s) == (State.HELD, 0)
    assert seen[-1].held_s == 199


def test_what_may_be_read_before_an_open_transaction_is_work() -> None:
    """Only what lies behind the transaction's first record is held."""
    ends = LogEnds(all={PLANS: 20}, stable={PLANS: 12})
    look = ends.look(PLANS, 10, None)
    assert (look.todo, look.held) == (2, False)


def test_time_that_a_log_was_held_is_not_counted_as_still() -> None:
    """The transaction ends, and what it held need not be read in the same second."""
    progress = Progress(1)
    for now in range(200):
        held = LogEnds(all={PLANS: 20}, stable={PLANS: 12})
        progress.see([held.look(PLANS, 12, None)], now)
    ended = LogEnds(all={PLANS: 20}, stable={PLANS: 20})
    (standing,) = progress.see([ended.look(PLANS, 12, None)], 200)
    assert (standing.state, standing.still_s) == (State.STILL, 1)


def test_a_log_whose_end_is_not_known_is_taken_for_read() -> None:
    """Right after a take-over nobody has been asked."""
    look = LogEnds(all={}, stable={}).look(PLANS, 12, None)
    assert (look.todo, look.held) == (0, False)


def test_all_counts_as_readable_while_nobody_says_otherwise() -> None:
    """A consumer whose own client is stuck is not excused by its silence."""
    look = LogEnds(all={PLANS: 20}, stable={}).look(PLANS, 12, None)
    assert (look.todo, look.held) == (8, False)
