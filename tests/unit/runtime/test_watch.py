from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from faust.types import TP

from agents.effects import Outgoing
from schemas import codec
from schemas.commands import DeadlineFired, RetryDue
from schemas.errors import Severity, make_error
from streams.runtime import watch as module
from streams.runtime.watch import DeadlineWatch
from tests.unit.coordinator.bench import (
    COMMANDS_TOPIC,
    NOW,
    OUTCOMES_TOPIC,
    Bench,
    requests,
    steps,
    submission,
)

BROKEN = make_error("BROKEN", "as asked", severity=Severity.ERROR)


class Task:
    """What the watch needs of a partition task."""

    def __init__(self, bench: Bench) -> None:
        self.state = bench.state


class Rig:
    """A watch over one partition, whose log and clock are ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "TICK_S", 0.001)
        self.bench = Bench()
        self.task: Any = Task(self.bench)
        self.live: list[Any] = [self.task]
        self.now = NOW
        self.end = 0
        self.folded = 0
        self.asked: list[TP] = []
        self.questions = 0
        self.failures = 0
        self.sent: list[Outgoing] = []
        self.watch = DeadlineWatch(
            tasks=lambda: self.live,
            inputs=(OUTCOMES_TOPIC, COMMANDS_TOPIC),
            ends=self._ends,
            folded=lambda task, tp, end: self.folded >= end,
            send=self._send,
            clock=lambda: self.now,
        )

    async def _ends(self, tps: list[TP]) -> Mapping[TP, int]:
        self.asked += tps
        self.questions += 1
        if self.failures:
            self.failures -= 1
            raise KafkaTimeoutError
        return dict.fromkeys(tps, self.end)

    async def _send(self, partition: int, commands: list[Outgoing]) -> None:
        assert partition == self.bench.state.partition
        self.sent += commands

    async def run(self, seconds: float = 0.03) -> list[Any]:
        """Let the watch run a moment; all commands sent so far."""
        running = asyncio.create_task(self.watch.run())
        await asyncio.sleep(seconds)
        running.cancel()
        return [codec.decode(each.value, DeadlineFired, RetryDue) for each in self.sent]


def test_a_limit_fires_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """R33: nothing before the due time, one command after it, and no more."""
    rig = Rig(monkeypatch)
    rig.bench.admit(submission(steps([])))
    assert not asyncio.run(rig.run())
    rig.now += 60_000
    (fired,) = asyncio.run(rig.run())
    assert isinstance(fired, DeadlineFired)
    assert fired.due_at == NOW + 60_000


def test_a_limit_waits_for_all_that_arrived_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R33: an outcome that is in the log when the limit is due wins over the clock."""
    rig = Rig(monkeypatch)
    rig.bench.admit(submission(steps([])))
    rig.now += 60_000
    rig.end = 7
    assert not asyncio.run(rig.run())
    assert {tp.topic for tp in rig.asked} == {OUTCOMES_TOPIC, COMMANDS_TOPIC}
    rig.end = 9  # what arrives later does not hold it up
    rig.folded = 7
    assert len(asyncio.run(rig.run())) == 1


def test_a_retry_does_not_wait_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backoff that is over is announced at once."""
    rig = Rig(monkeypatch)
    policy = {"max_attempts": 2, "backoff_ms": 50, "retryable_error_codes": ["BROKEN"]}
    plan = submission(steps([], on_failure="retry"), {"retry_policy": policy})
    (request,) = requests(rig.bench.admit(plan))
    rig.bench.fail(request, BROKEN)
    rig.end, rig.now = 7, NOW + 50
    (due,) = asyncio.run(rig.run())
    assert isinstance(due, RetryDue)
    assert due.attempt == 2
    assert not rig.asked


def test_all_partitions_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of limits a second cannot each wait for a broker."""
    rig = Rig(monkeypatch)
    other = Bench()
    rig.live.append(Task(other))
    for each in (rig.bench, other):
        each.admit(submission(steps([])))
    rig.now += 60_000
    assert len(asyncio.run(rig.run())) == 2
    assert rig.questions == 1


def test_limits_outlast_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not tell where the log ends makes a limit late, not lost."""
    rig = Rig(monkeypatch)
    rig.bench.admit(submission(steps([])))
    rig.now += 60_000
    rig.failures = 3
    assert len(asyncio.run(rig.run(0.1))) == 1


def test_a_partition_that_was_given_up_fires_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R10: only the owner's timers count; the next owner has its own."""
    rig = Rig(monkeypatch)
    rig.bench.admit(submission(steps([])))
    rig.now += 60_000
    rig.end = 7
    assert not asyncio.run(rig.run())
    rig.live = []
    rig.folded = 7
    assert not asyncio.run(rig.run())


def test_a_plan_that_has_ended_fires_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """R13: what ended while the limit waited for the log is not announced."""
    rig = Rig(monkeypatch)
    (request,) = requests(rig.bench.admit(submission(steps([]))))
    rig.now += 60_000
    rig.end = 7
    assert not asyncio.run(rig.run())
    rig.bench.succeed(request)
    rig.folded = 7
    assert not asyncio.run(rig.run())
