from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.halts import Halts
from agents.scheduling import Lane, Position, Ticket, Window
from tests.unit.worker.harness import TOPIC

PARTITION = (TOPIC, 0)


def window(size: int = 1000) -> Window:
    return Window(size, lambda: None)


def enter(window: Window, offset: int, partition: int = 0) -> Ticket:
    return window.enter(Position(TOPIC, partition, offset))


def ticket(priority: int = 0, arrived: float = 0.0, number: int = 0) -> Ticket:
    made = Ticket(PARTITION, 0)
    made.arrived = arrived
    made.fields = {"priority": priority, "step_number": number}
    return made


def test_nothing_is_committed_before_anything_is_settled() -> None:
    """A fresh partition starts where it starts."""
    w = window()
    enter(w, 5)
    assert w.committable() == {}


def test_the_oldest_open_request_holds_the_mark() -> None:
    """Whatever is settled behind it is redelivered after a crash, never skipped."""
    w = window()
    first, second, third = (enter(w, offset) for offset in (5, 6, 7))
    w.settle(third)
    w.settle(second)
    assert w.committable() == {}
    w.settle(first)
    assert w.committable() == {PARTITION: 8}
    assert w.committable() == {}


def test_gaps_in_the_offsets_are_skipped() -> None:
    """Transaction markers and compaction leave some."""
    w = window()
    first, _second = enter(w, 5), enter(w, 9)
    w.settle(first)
    assert w.committable() == {PARTITION: 9}


def test_the_mark_never_moves_back() -> None:
    """Whatever is entered out of order."""
    w = window()
    w.settle(enter(w, 7))
    assert w.committable() == {PARTITION: 8}
    w.settle(enter(w, 5))
    assert w.committable() == {}
    w.settle(enter(w, 8))
    assert w.committable() == {PARTITION: 9}


def test_partitions_are_independent() -> None:
    """One that stands still holds up no other."""
    w = window()
    enter(w, 1, partition=0)
    w.settle(enter(w, 3, partition=1))
    assert w.committable() == {(TOPIC, 1): 4}


def test_a_partition_that_comes_back_starts_anew() -> None:
    """What outlived a rebalance moves nothing: the request was read again."""
    w = window()
    before = enter(w, 5)
    w.forget({PARTITION})
    after = enter(w, 5)
    w.settle(before)
    assert w.committable() == {}
    w.settle(after)
    assert w.committable() == {PARTITION: 6}


@given(st.data())
def test_the_mark_is_the_first_open_offset(data: st.DataObject) -> None:
    """In whatever order requests arrive and are settled."""
    w, offset, mark = window(), 0, 0
    open_: dict[int, Ticket] = {}
    for _ in range(data.draw(st.integers(1, 60))):
        if bool(open_) and data.draw(st.booleans()):
            done = data.draw(st.sampled_from(sorted(open_)))
            w.settle(open_.pop(done))
        else:
            open_[offset] = enter(w, offset)
            offset += 1
        if data.draw(st.booleans()):
            mark = w.committable().get(PARTITION, mark)
            assert mark == min(open_, default=offset)


def test_room_comes_back_once_with_some_slack() -> None:
    """Resuming a fetch for each single request would cost more than the request."""
    told: list[int] = []
    w = Window(8, lambda: told.append(w.room()))
    tickets = [enter(w, offset) for offset in range(8)]
    assert w.room() == 0
    w.settle(tickets[0])
    assert told == []
    w.settle(tickets[1])
    assert told == [2]
    w.settle(tickets[2])
    assert told == [2]


def test_more_than_the_size_is_accepted() -> None:
    """What was fetched already must go somewhere."""
    w = window(2)
    tickets = [enter(w, offset) for offset in range(4)]
    assert w.room() == 0
    for each in tickets:
        w.settle(each)
        w.settle(each)
    assert w.room() == 2


def test_settled_requests_free_their_memory() -> None:
    """A slow one at the head keeps thousands of tickets, not their payloads."""
    w = window()
    enter(w, 0)
    settled = enter(w, 1)
    settled.fields = {"payload": "x" * 1000}
    w.settle(settled)
    assert settled.fields == {}


def drain(lane: Lane) -> list[Ticket]:
    return [lane.pop() for _ in range(len(lane))]


def test_priority_then_arrival_then_list_order() -> None:
    """R40."""
    ordered = [
        ticket(priority=9, arrived=5.0),
        ticket(priority=1, arrived=1.0, number=0),
        ticket(priority=1, arrived=1.0, number=3),
        ticket(priority=1, arrived=2.0, number=0),
        ticket(priority=-4, arrived=0.0),
    ]
    lane = Lane(1)
    for each in reversed(ordered):
        lane.push(each)
    assert drain(lane) == ordered


def test_equals_come_in_the_order_they_were_offered() -> None:
    """Nothing is left to chance."""
    tickets = [ticket() for _ in range(50)]
    lane = Lane(1)
    for each in tickets:
        lane.push(each)
    assert drain(lane) == tickets


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3), st.booleans())))
def test_taking_requests_out_keeps_the_order(entries: list[Any]) -> None:
    """The rest is as if they had never been there."""
    lane = Lane(1)
    kept: list[Ticket] = []
    dropped: list[Ticket] = []
    for priority, arrived, keep in entries:
        made = ticket(priority, arrived)
        (kept if keep else dropped).append(made)
        lane.push(made)
    removed = lane.remove(lambda each: each in dropped)
    assert {*map(id, removed)} == {*map(id, dropped)}
    assert drain(lane) == sorted(
        kept, key=lambda each: (-each.fields["priority"], each.arrived)
    )


def test_a_lane_is_ready_while_it_has_room_and_work() -> None:
    """Its capacity is what keeps a worker from taking on too much."""
    lane = Lane(1)
    ready = [lane.is_ready]
    lane.push(ticket())
    ready.append(lane.is_ready)
    lane.running = 1
    ready.append(lane.is_ready)
    assert ready == [False, True, False]


def test_the_oldest_halts_are_forgotten() -> None:
    """Memory is bounded; a halt heard again is young again."""
    halts = Halts(2)
    for each in "abac":
        halts.add(each)
    assert "a" in halts
    assert "b" not in halts
    assert "c" in halts
    assert len(halts) == 2
