"""The health of a process, whatever it hosts, is told as one report."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from streams.config import Settings
from streams.devkit.ports import free_ports
from streams.runtime import report
from streams.runtime.report import Report
from streams.runtime.telling import Telling


def app(who: str, *reasons: str, **facts: Any) -> Report:
    """What one app reports."""
    usual = {"who": who, "at": 7, "broker_silent_s": 0.5, "sources": []}
    return Report(True, not reasons, reasons, {**usual, **facts})


def coordinator() -> Report:
    return app("c-0", at=8, sources=[{"name": "plans/3"}])


def worker() -> Report:
    return app("w-0", broker_silent_s=2.5, sources=[{"name": "requests/0"}])


def test_one_app_is_told_as_it_is() -> None:
    """Nothing is added to what it says of itself."""
    assert report.together([coordinator()]) == coordinator()


def test_apps_of_a_process_are_told_as_one() -> None:
    """The older look, the longer silence, the sources of both; the usual fields."""
    told = json.loads(report.together([coordinator(), worker()]).as_json())

    assert told == {
        "live": True,
        "ready": True,
        "reasons": [],
        "who": "c-0, w-0",
        "at": 7,
        "broker_silent_s": 2.5,
        "sources": [{"name": "plans/3"}, {"name": "requests/0"}],
    }


def test_one_app_that_is_not_ready_or_live_is_enough() -> None:
    """And the reason says which."""
    waiting = report.together([coordinator(), app("w-0", "it is stopping")])
    assert (waiting.live, waiting.ready) == (True, False)
    assert waiting.reasons == ("w-0: it is stopping",)

    stuck = report.together([report.dead("it has gone silent"), worker()])
    assert (stuck.live, stuck.ready) == (False, False)
    assert stuck.reasons == ("it has gone silent",)
    assert stuck.facts["who"] == "w-0"


def test_a_process_is_not_ready_before_all_of_it_has_begun() -> None:
    """Nor once a part of it has ended; it is live all the while."""

    async def scenario() -> None:
        telling = Telling(Settings(), apps=2)
        seen = [telling.report()]
        for one in (coordinator, worker):
            telling.add(one)
            seen.append(telling.report())
        for one in (coordinator, worker):
            await telling.remove(one)
            seen.append(telling.report())
        assert [each.ready for each in seen] == [False, False, True, False, False]
        assert all(each.live for each in seen)
        assert seen[1].reasons == ("a part of it has not begun, or has ended",)

    asyncio.run(scenario())


def test_file_and_port_are_shared_and_go_with_the_last(tmp_path: Path) -> None:
    """One port for both apps, which can be asked until the last one has ended."""
    (port,) = free_ports(1)
    file = tmp_path / "health.json"

    async def scenario() -> None:
        telling = Telling(Settings(health_port=port, health_file=file), apps=2)
        telling.add(coordinator)
        await telling.listen()
        assert (await asyncio.to_thread(ask, port))[0] == 503
        telling.add(worker)
        await telling.listen()
        telling.write()
        status, told = await asyncio.to_thread(ask, port)
        assert (status, told["who"]) == (200, "c-0, w-0")
        assert json.loads(file.read_text()) == told
        await telling.remove(coordinator)
        assert (await asyncio.to_thread(ask, port))[0] == 503
        await telling.remove(worker)

    asyncio.run(scenario())
    assert not list(tmp_path.iterdir())


def ask(port: int) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/ready")
    answer = connection.getresponse()
    told: dict[str, Any] = json.loads(answer.read())
    connection.close()
    return answer.status, told


def test_what_has_not_begun_can_be_stopped() -> None:
    """A signal may come before an app is started."""

    async def scenario() -> None:
        telling = Telling(Settings(), apps=2)
        await telling.remove(worker)
        telling.add(coordinator)
        await telling.remove(worker)
        assert telling.report().facts["who"] == "c-0"

    asyncio.run(scenario())
