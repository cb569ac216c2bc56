"""Several coordinators and step workers share the work, while they come and go."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from schemas.results import Status
from schemas.steps import StepSucceeded
from tests.conftest import Broker
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import HANDLERS, Live, live
from tests.integration.plans import chain, diamond, step, submission
from tests.integration.system import Member, eventually

OWNS = re.compile(r"coordinator ready: partitions (.*) of \d+")
EXPECTED = [Status.SUCCESS, Status.SUCCESS, Status.PARTIAL, Status.FAILURE]


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    directory = tmp_path_factory.mktemp("several")
    members = {"coordinators": 2, "workers": 2}
    with live(kafka, directory, members=members, partitions=8) as system:
        yield system


def mixed(count: int) -> list[dict[str, Any]]:
    """Plans of four kinds in turn, which end as `EXPECTED` says."""
    kinds: list[Callable[[], dict[str, Any]]] = [
        lambda: submission(*chain(4, "sleep", ms=60)),
        lambda: submission(*diamond(), step("block", {"ms": 20})),
        lambda: submission(*chain(2), step("fail", on_failure="skip")),
        lambda: submission(*chain(2, "sleep", ms=30), step("fail")),
    ]
    return [kinds[number % 4]() for number in range(count)]


def owned_by(member: Member) -> set[int]:
    """The partitions that a coordinator said last it owns."""
    said = OWNS.findall(member.log.read_text())
    return {int(each) for each in said[-1].split(", ")} if said[-1] != "none" else set()


async def shared(system: Live, members: list[Member]) -> None:
    """Wait until the coordinators own all partitions, each one of them once."""
    count = system.system.settings.partitions

    async def ask() -> list[set[int]]:
        return [owned_by(member) for member in members]

    def is_whole(found: list[set[int]]) -> bool:
        return Counter(n for each in found for n in each) == Counter(range(count))

    await eventually(ask, is_whole)


def assert_ends(system: Live, made: list[dict[str, Any]], trails: list[Trail]) -> None:
    """Each plan once, as expected; each step of a success once, and in order."""
    system.run(system.ledger.catch_up())
    for number, (each, trail) in enumerate(zip(made, trails, strict=True)):
        counts = (len(trail.results), len(trail.audits), len(trail.events))
        assert counts == (1, 1, 1), each["plan"]["id"]
        assert trail.result.status is EXPECTED[number % 4], trail.result
        if trail.result.status is Status.SUCCESS:
            assert_ran_in_order(each, trail.succeeded())
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))


def assert_ran_in_order(
    made: dict[str, Any], ran: dict[str, list[StepSucceeded]]
) -> None:
    assert ran.keys() == {each["id"] for each in made["plan"]["steps"]}
    for each in made["plan"]["steps"]:
        for needed in each["depends_on"]:
            began = min(done.started_at for done in ran[each["id"]])
            assert min(done.ended_at for done in ran[needed]) <= began


async def under_load(
    system: Live,
    made: list[dict[str, Any]],
    change: Callable[[], Coroutine[Any, Any, None]],
) -> list[Trail]:
    """Submit over the time that a change takes, at least; the ends of all plans."""
    changing = asyncio.create_task(change())
    for number, each in enumerate(made):
        await system.submit(each)
        if number < len(made) // 2:  # the other half comes as fast as it can,
            await asyncio.sleep(0.02)
        elif number == len(made) // 2:  # and when all is over
            await changing
    await changing
    ends = [system.ledger.ended(each["plan"]["id"], timeout=60) for each in made]
    return list(await asyncio.gather(*ends))


def test_two_of_each_share_the_work(system: Live) -> None:
    """Each partition has one owner; every plan ends once; both workers run steps."""
    coordinators = system.system.of("coordinator")
    system.run(shared(system, coordinators))
    assert all(len(owned_by(member)) == 4 for member in coordinators)
    made = mixed(120)
    trails = system.execute_all(*made, timeout=60)
    assert_ends(system, made, trails)
    steps = [done for trail in trails for done in trail.succeeded().values()]
    assert all(len(done) == 1 for done in steps), (
        "nothing was lost, nothing redelivered"
    )
    by_worker = Counter(done[0].worker for done in steps)
    assert len(by_worker) == 2
    assert min(by_worker.values()) > len(steps) / 10


def test_a_coordinator_joins_and_leaves_under_load(system: Live) -> None:
    """Two rebalances: partitions go over and come back; nothing lost or twice."""
    third = system.system.coordinator()
    others = system.system.of("coordinator")[:2]

    async def change() -> None:
        await asyncio.sleep(0.5)
        await third.start()
        await shared(system, [*others, third])
        assert owned_by(third)
        await asyncio.sleep(1)
        assert await third.stop() == 0

    made = mixed(160)
    trails = system.run(under_load(system, made, change))
    assert_ends(system, made, trails)


def test_a_worker_joins_and_leaves_under_load(system: Live) -> None:
    """What runs on it is finished or runs again elsewhere; each plan ends once."""
    third = system.system.worker(HANDLERS)

    async def change() -> None:
        await asyncio.sleep(0.5)
        await third.start()
        await asyncio.sleep(1.5)
        assert await third.stop() == 0

    made = mixed(160)
    trails = system.run(under_load(system, made, change))
    assert_ends(system, made, trails)
