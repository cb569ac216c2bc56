from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from faust.types import TP

from streams.config import Settings
from streams.runtime import health as module
from streams.runtime.health import Health
from streams.runtime.host import LogEnds
from streams.runtime.progress import Look
from streams.runtime.telling import Telling

PLANS = TP("plans", 3)


class Died(Exception):
    """What `die` does here instead of ending the process of the tests."""


class Host:
    """Stands still at an offset, or whatever else a test wants."""

    def __init__(self) -> None:
        self.is_live = True
        self.at = 7
        self.excuse: str | None = None
        self.ends = {PLANS: 9}
        self.answers = True
        self.dead: dict[str, Any] = {}

    def sources(self) -> list[TP]:
        return [PLANS]

    async def ask_ends(self, tps: list[TP]) -> Mapping[TP, int]:
        if not self.answers:
            raise OSError("away")
        return self.ends

    def looks(self, ends: LogEnds) -> list[Look]:
        if not self.is_live:
            return []
        return [ends.look(PLANS, self.at, self.excuse)]

    def clients(self) -> Mapping[str, Any]:
        return self.dead


class Kafka:
    """The app's consumer as far as it is asked."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.stable: dict[TP, int] | None = None

    async def end_offsets(self, _tps: Any) -> Mapping[TP, int]:
        return self.stable or self.host.ends


class Clock:
    """Stands in for `time` in the modules under test."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Rig:
    """A health watch whose seconds pass when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.clock = Clock()
        monkeypatch.setattr(module, "time", self.clock)
        monkeypatch.setattr("streams.runtime.ends.time", self.clock)
        monkeypatch.setattr(module, "die", self._die)
        self.host = Host()
        self.kafka = Kafka(self.host)
        self.stopping = False
        consumer = cast(Any, type("Consumer", (), {"kafka": self.kafka})())
        settings = Settings(progress_timeout_ms=60_000, **options)
        self.telling = Telling(settings)
        self.health = Health(
            settings,
            "orders-coordinator-0",
            cast(Any, self.host),
            consumer=lambda: consumer,
            is_stopping=lambda: self.stopping,
            telling=self.telling,
            watch=None,
        )

    def _die(self, reason: str) -> None:
        raise Died(reason)

    async def pass_time(self, seconds: int) -> None:
        """Look every second, as the watch would."""
        for _ in range(seconds):
            self.clock.now += 1
            await self.health._written._ask_once()
            await self.health._stable._ask_once()
            self.health._look()

    def ready(self) -> tuple[bool, tuple[str, ...]]:
        """Whether it is ready, and why not."""
        report = self.health.report()
        assert report.live
        return report.ready, report.reasons


def test_a_partition_that_does_not_move_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not ready after `ready_timeout_ms`, ended after `progress_timeout_ms`."""

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        await rig.pass_time(10)
        assert rig.ready() == (True, ())
        await rig.pass_time(40)
        ready, (reason,) = rig.ready()
        assert not ready
        assert reason == "plans/3 has not moved for 49 s: it stands at 7, 2 wait"
        with pytest.raises(Died, match="plans/3 has not moved for 61 s"):
            await rig.pass_time(20)

    asyncio.run(scenario())


def test_progress_however_slow_keeps_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A record in 50 s under a growing lag is no reason to begin anew."""

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        for _ in range(10):
            rig.host.at += 1
            rig.host.ends = {PLANS: rig.host.ends[PLANS] + 5}
            await rig.pass_time(50)
        assert not rig.ready()[0]
        rig.host.at += 1
        await rig.pass_time(1)
        assert rig.ready() == (True, ())

    asyncio.run(scenario())


@pytest.mark.parametrize("why", ["excused", "away", "held", "idle"])
def test_what_may_stand_still_does_not_end_the_process(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back-pressure, no broker, a foreign transaction, nothing to do: for an hour."""

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        await rig.pass_time(1)
        rig.host.excuse = "the window is full" if why == "excused" else None
        rig.host.answers = why != "away"
        rig.kafka.stable = {PLANS: 7} if why == "held" else None
        rig.host.ends = {PLANS: 7} if why == "idle" else rig.host.ends
        await rig.pass_time(3600)
        ready, reasons = rig.ready()
        assert ready == (why in {"excused", "idle"}), reasons
        assert "no broker has answered" in str(reasons) or why != "away"
        assert "neither committed nor aborted" in str(reasons) or why != "held"

    asyncio.run(scenario())


def test_a_held_partition_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And once more, when it is held no longer."""
    caplog.set_level("INFO", "planstream.health")

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        rig.kafka.stable = {PLANS: 7}
        await rig.pass_time(60)
        rig.kafka.stable, rig.host.at = None, 9
        await rig.pass_time(2)
        assert rig.ready() == (True, ())

    asyncio.run(scenario())
    held, ended = [record.getMessage() for record in caplog.records]
    assert held.startswith("plans/3 is held at 7 for 16 s")
    assert ended == "plans/3 is held no longer"


def test_a_dead_task_of_a_client_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within a second, with what it died of."""

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        task = asyncio.get_running_loop().create_future()
        task.set_exception(OSError("gone"))
        sender = type("Sender", (), {"_sender_task": task})()
        rig.host.dead = {"a producer": type("Producer", (), {"_sender": sender})()}
        with pytest.raises(Died, match="sender task of a producer has ended"):
            await rig.pass_time(1)

    asyncio.run(scenario())


def test_a_process_outside_its_group_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not ready, and after `rebalance_timeout_ms` it begins anew."""

    async def scenario() -> None:
        rig = Rig(monkeypatch, rebalance_timeout_ms=20_000)
        rig.host.is_live = False
        await rig.pass_time(20)
        assert rig.ready() == (
            False,
            ("it has not taken over what its group assigns",),
        )
        with pytest.raises(Died, match="assigned nothing to it for 20 s"):
            await rig.pass_time(1)

    asyncio.run(scenario())


def test_a_process_that_stops_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is live, not ready, and its stop has a limit of its own."""

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        rig.stopping = True
        await rig.pass_time(200)
        ready, reasons = rig.ready()
        assert (ready, reasons[0]) == (False, "it is stopping")

    asyncio.run(scenario())


def test_an_old_report_is_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks another thread of a blocked loop must not hear that all is well."""

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        await rig.pass_time(1)
        rig.clock.now += 11
        report = rig.health.report()
        assert not report.live
        assert not report.ready
        assert report.reasons == ("nothing has been looked at for 11 s",)

    asyncio.run(scenario())


def test_the_file_holds_the_report_and_goes_with_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """JSON, replaced as a whole; nothing is left beside it, or after a stop."""

    async def scenario() -> None:
        file = tmp_path / "health.json"
        rig = Rig(monkeypatch, health_file=file)
        rig.kafka.stable = {PLANS: 8}
        rig.telling.add(rig.health.report)
        await rig.pass_time(2)
        told = json.loads(file.read_text())
        assert (told["live"], told["ready"], told["reasons"]) == (True, True, [])
        assert told["who"] == "orders-coordinator-0"
        (source,) = told["sources"]
        assert source == {
            "name": "plans/3",
            "state": "still",
            "waiting": 1,
            "still_s": 1.0,
            "position": 7,
            "end": 9,
        }
        await rig.health.stop()

    asyncio.run(scenario())
    assert not list(tmp_path.iterdir())
