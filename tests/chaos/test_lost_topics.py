"""Topics that are lost under an installation stop it, and no old plan runs again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.results import Status
from streams.runtime.exits import EXIT_IN_DOUBT, EXIT_MISFIT
from streams.topics import Topic
from tests.chaos.damage import cut, delete, empty, make_anew
from tests.conftest import Broker
from tests.integration.invariants import results_of
from tests.integration.plans import ENVIRONMENT, chain, plan, step
from tests.integration.system import NotReady, System

HANDLERS = "tests.integration.handlers"
PLANS = 4
TOPICS_MISSING = 4
Damage = Callable[[System, Topic], Awaitable[None]]


@asynccontextmanager
async def running(kafka: Broker, prefix: str, directory: Path) -> AsyncIterator[System]:
    """One coordinator and one worker, which have run a few plans."""
    system = System(kafka.bootstrap, prefix, directory, partitions=2)
    try:
        await system.start(HANDLERS)
        await run_plans(system)
        yield system
    finally:
        await asyncio.gather(*[member.kill() for member in system.members])


async def run_plans(system: System) -> None:
    async with system.client() as client:
        done = [await client.submit(plan(*chain(2)), ENVIRONMENT) for _ in range(PLANS)]
        for each in done:
            result = await client.result(each.plan_id, 30)
            assert result.status is Status.SUCCESS


async def submit(system: System, *steps: dict[str, Any], count: int = 1) -> None:
    async with system.client(results=False) as client:
        for _ in range(count):
            await client.submit(plan(*steps or [step()]), ENVIRONMENT)


async def assert_refuses(system: System, *says: str) -> None:
    """A coordinator does not start; each time it says why."""
    (coordinator,) = system.of("coordinator")
    with pytest.raises(NotReady) as error:
        await coordinator.start()
    assert await coordinator.exit_code(10) in {EXIT_MISFIT, TOPICS_MISSING}
    assert any(each in str(error.value) for each in says), error.value


@pytest.mark.parametrize(
    ("damage", "name", "says"),
    [
        (delete, "changelog", "was deleted"),
        (make_anew, "changelog", "was made anew"),
        (empty, "changelog", "its rows are gone"),
        (delete, "plans", "was deleted"),
        (make_anew, "plans", "was made anew"),
        (make_anew, "step_outcomes", "was made anew"),
        (delete, "commands", "was deleted"),
    ],
)
@pytest.mark.slow
def test_a_coordinator_stops_when_a_topic_is_lost_under_it(
    damage: Damage,
    name: str,
    says: str,
    kafka: Broker,
    topic_prefix: str,
    tmp_path: Path,
) -> None:
    """Exit code 78 with a line that says which, at once and at each later start."""

    async def scenario() -> None:
        async with running(kafka, topic_prefix, tmp_path) as system:
            (coordinator,) = system.of("coordinator")
            topic: Topic = getattr(system.topics, name)
            await submit(system, step("sleep", {"ms": 60_000}))
            before = await results_of(system)
            await damage(system, topic)
            assert await coordinator.exit_code(30) == EXIT_MISFIT
            last = coordinator.log.read_text().splitlines()[-1]
            assert topic.name in last
            # It may have looked between the end of one and the begin of the other.
            assert says in last or (damage is make_anew and "was deleted" in last)
            assert "docs/operations.md" in last
            if damage is make_anew and name == "plans":
                await submit(system, count=3)
            changelog = "the changelog has no position"
            await assert_refuses(system, says, "ends at", changelog, "does not exist")
            if damage is not delete:
                after = await results_of(system)
                assert after.results.keys() == before.results.keys()

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_coordinator_stops_when_unread_records_are_gone(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """It does not jump to where the log begins now; not even for one partition."""

    async def scenario() -> None:
        async with running(kafka, topic_prefix, tmp_path) as system:
            (coordinator,) = system.of("coordinator")
            coordinator.signal(signal.SIGSTOP)
            await submit(system, count=12)
            await cut(system, system.topics.plans, [0])
            coordinator.signal(signal.SIGCONT)
            assert await coordinator.exit_code(20) == EXIT_MISFIT
            assert "records are gone" in coordinator.log.read_text()

    asyncio.run(scenario())


async def outgrow(system: System, topic: Topic) -> None:
    """Make the plans anew, with more of them than there were."""
    await make_anew(system, topic)
    await submit(system, count=20 * PLANS)


async def cut_the_beginning(system: System, topic: Topic) -> None:
    """Delete the first rows of each partition; most positions are in later ones."""
    await cut(system, topic, range(topic.partitions), below=2)


async def empty_one(system: System, topic: Topic) -> None:
    """Delete the rows of one partition; the others have theirs."""
    await cut(system, topic, [0])


@pytest.mark.parametrize(
    ("damage", "name", "says"),
    [
        (outgrow, "plans", "the topic was made anew"),
        (cut_the_beginning, "changelog", "the changelog "),
        (empty_one, "changelog", "the changelog has no position"),
        (make_anew, "step_outcomes", "the log ends at"),
    ],
)
@pytest.mark.slow
def test_a_coordinator_does_not_start_on_what_was_lost_meanwhile(
    damage: Damage,
    name: str,
    says: str,
    kafka: Broker,
    topic_prefix: str,
    tmp_path: Path,
) -> None:
    """Also when positions lie inside the logs, and no offset tells the difference."""

    async def scenario() -> None:
        async with running(kafka, topic_prefix, tmp_path) as system:
            (coordinator,) = system.of("coordinator")
            assert await coordinator.stop() == 0
            before = await results_of(system)
            await damage(system, getattr(system.topics, name))
            await assert_refuses(system, says)
            after = await results_of(system)
            assert after.results.keys() == before.results.keys()

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", [make_anew, empty])
@pytest.mark.slow
def test_a_worker_reads_step_requests_that_were_lost_from_their_start(
    damage: Damage, kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """Requests are repeatable: it exits with 70 at most, and goes on once started."""

    async def scenario() -> None:
        async with running(kafka, topic_prefix, tmp_path) as system:
            (worker,) = system.of("worker")
            await damage(system, system.topics.requests["default"])
            if damage is make_anew:
                assert await worker.exit_code(20) == EXIT_IN_DOUBT
                said = worker.log.read_text()
                assert "was made anew" in said or "does not reach" in said
                await worker.start()
            await run_plans(system)

    asyncio.run(scenario())
