"""What a process finishes when it is told to stop, and what it leaves."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from schemas.results import Status
from streams.devkit.kafka import EmbeddedKafka
from streams.runtime.exits import EXIT_IN_DOUBT
from tests.chaos.zombies import open_transactions
from tests.integration.freezing import frozen
from tests.integration.survival import (
    HANDLERS,
    ended,
    said,
    single,
    stopped_in_s,
    submitted,
)
from tests.integration.system import Member, System, eventually, partitions_of

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(180)]

LIMIT_MS = 8000
LIMIT_S = LIMIT_MS / 1000
MARGIN_S = 4.0
"""What Python and a busy machine may add to a limit."""


@pytest.fixture
def system(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> System:
    """Give a system that is to stop within the limit; it is not started."""
    options = {"shutdown_timeout_ms": LIMIT_MS, "partitions": 2}
    return System(broker.bootstrap, topic_prefix, tmp_path, **options)


async def uncommitted(system: System) -> int:
    """How many step requests the workers' group has not committed."""
    settings = system.settings
    tps = partitions_of(system.topics.requests["default"])
    group = AIOKafkaConsumer(
        bootstrap_servers=settings.broker, group_id=settings.worker_app_id
    )
    try:
        await group.start()
        ends = await group.end_offsets(tps)
        return sum([ends[tp] - (await group.committed(tp) or 0) for tp in tps])
    finally:
        await group.stop()


async def began(path: Path) -> None:
    await eventually(
        lambda: asyncio.to_thread(said, path), lambda words: words.startswith("began")
    )


Stop = Callable[[Member], Awaitable[None]]


def stopped_amid_a_run(system: System, stop: Stop, ms: list[int]) -> list[str]:
    """Stop a worker while a handler runs; the next one ends the plan with success.

    Args:
        system: Not started.
        stop: Ends the worker, in whichever way.
        ms: How long each run of the handler takes.

    Returns:
        What the handler's runs have told.
    """
    told = system.directory / "told"

    async def scenario() -> None:
        await system.start(HANDLERS)
        try:
            (worker,) = system.of("worker")
            payload = {"told": str(told), "ms": ms}
            plan_id = await submitted(system, single("tally", payload))
            await began(told)
            await stop(worker)
            await worker.start()
            assert await ended(system, plan_id) is Status.SUCCESS
        finally:
            assert not any(await system.stop())

    asyncio.run(scenario())
    return told.read_text().split()


def test_a_worker_answers_what_ends_in_time(system: System) -> None:
    """It has run once when the next worker is there, and never again."""

    async def stop(worker: Member) -> None:
        await stopped_in_s(worker, 0)

    assert stopped_amid_a_run(system, stop, [1500, 0, 0]) == ["began", "ended"]


def test_a_worker_cuts_off_what_does_not_end_in_time(system: System) -> None:
    """It is run again by the next worker, and the plan ends as if nothing had been."""

    async def stop(worker: Member) -> None:
        assert await stopped_in_s(worker, 0) < LIMIT_S + MARGIN_S

    runs = stopped_amid_a_run(system, stop, [60_000, 0])
    assert runs == ["began", "began", "ended"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_at_once(system: System, number: signal.Signals) -> None:
    """With 128 plus its number; what ran is run again."""

    async def stop(worker: Member) -> None:
        worker.signal(number)
        # It goes on with what runs: the first signal alone ends nothing at once.
        with pytest.raises(TimeoutError):
            await worker.exit_code(1.0)
        worker.signal(number)
        assert await worker.exit_code(MARGIN_S) == 128 + number

    runs = stopped_amid_a_run(system, stop, [60_000, 0])
    assert runs == ["began", "began", "ended"]


@pytest.mark.parametrize("role", ["coordinator", "worker"])
def test_whoever_has_nothing_to_finish_stops_without_a_broker(
    system: System, broker: EmbeddedKafka, role: str
) -> None:
    """Nothing is in doubt: it ends in time, and says that all is well."""

    async def scenario() -> None:
        await system.start(HANDLERS)
        try:
            (member,) = system.of(role)
            await ended(system, await submitted(system, single("echo", {})))
            await eventually(lambda: open_transactions(system), lambda open_: not open_)
            await eventually(lambda: uncommitted(system), lambda count: not count)
            with frozen(broker):
                assert await stopped_in_s(member, 0) < LIMIT_S + MARGIN_S
        finally:
            await system.stop()

    asyncio.run(scenario())


def test_what_cannot_be_told_is_done_again(
    system: System, broker: EmbeddedKafka
) -> None:
    """A worker that cannot send an answer says that it is in doubt (R29)."""

    async def stop(worker: Member) -> None:
        with frozen(broker):
            assert await stopped_in_s(worker, EXIT_IN_DOUBT) < LIMIT_S + MARGIN_S

    runs = stopped_amid_a_run(system, stop, [1500, 0])
    assert runs == ["began", "ended", "began", "ended"]
