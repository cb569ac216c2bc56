from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from streams.runtime.lanes import FULL, Lane, LaneClosed


class Record(NamedTuple):
    offset: int


def records(*offsets: int) -> list[Record]:
    return [Record(offset) for offset in offsets]


class Work:
    """What a lane's records are finished by: each when the test lets it."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.room = 0
        self.gate = asyncio.Semaphore(0)
        self.closing = False

    async def finish(self, record: Record) -> None:
        self.begun.append(record.offset)
        await self.gate.acquire()
        if self.closing:
            raise LaneClosed

    def on_room(self) -> None:
        self.room += 1

    def lane(self, position: int = 0) -> Lane:
        return Lane("topic/0", position, self.finish, self.on_room)


def run(scenario: Callable[[Work], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario(Work())

    asyncio.run(main())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_records_are_finished_one_after_the_other() -> None:
    """The position moves behind what is finished alone, over gaps as well."""

    async def scenario(work: Work) -> None:
        lane = work.lane(position=5)
        lane.take(records(5, 7))
        await settle()
        assert (work.begun, lane.finished, lane.taken) == ([5], 5, 8)
        work.gate.release()
        await settle()
        assert (work.begun, lane.finished) == ([5, 7], 6)
        work.gate.release()
        await settle()
        assert lane.finished == lane.taken == 8
        await lane.close(1)

    run(scenario)


def test_what_was_taken_is_not_taken_again() -> None:
    """A fetch after a rebalance may begin before what a kept lane holds."""

    async def scenario(work: Work) -> None:
        lane = work.lane()
        lane.take(records(0, 1))
        lane.take(records(0, 1, 2))
        for _ in range(3):
            work.gate.release()
        await settle()
        assert work.begun == [0, 1, 2]
        await lane.close(1)

    run(scenario)


def test_a_full_lane_tells_when_it_has_room() -> None:
    """Once, when it ceases to be full."""

    async def scenario(work: Work) -> None:
        lane = work.lane()
        lane.take(records(*range(FULL + 1)))
        assert lane.is_full
        for _ in range(3):
            work.gate.release()
            await settle()
        assert (lane.is_full, work.room) == (False, 1)
        await lane.close(0)

    run(scenario)


def test_a_close_lets_the_present_record_end() -> None:
    """And takes up none behind it."""

    async def scenario(work: Work) -> None:
        lane = work.lane()
        lane.take(records(0, 1))
        await settle()
        work.gate.release()
        await lane.close(5)
        assert (work.begun, lane.finished) == ([0], 1)

    run(scenario)


def test_a_close_leaves_what_does_not_end_in_time() -> None:
    """It is not finished: the next process will see to it."""

    async def scenario(work: Work) -> None:
        lane = work.lane()
        lane.take(records(0))
        await settle()
        await lane.close(0.01)
        assert (work.begun, lane.finished) == ([0], 0)

    run(scenario)


def test_a_record_that_is_left_is_not_finished() -> None:
    """One that waits for another attempt when the process leaves."""

    async def scenario(work: Work) -> None:
        lane = work.lane()
        lane.take(records(0, 1))
        await settle()
        work.closing = True
        work.gate.release()
        await lane.close(5)
        assert (work.begun, lane.finished) == ([0], 0)

    run(scenario)
