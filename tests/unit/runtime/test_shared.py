"""What a process says when it is ready."""

from __future__ import annotations

import asyncio
import logging

import pytest

from streams.config import Settings
from streams.runtime.shared import Shared


def test_a_role_alone_is_said_once(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Supervisors wait for that line; what comes later is for the log."""
    shared = Shared(Settings(), "worker")
    shared.say_ready("worker", "2 actions")
    assert capsys.readouterr().out == "planstream worker ready: 2 actions\n"

    with caplog.at_level(logging.INFO):
        shared.say_ready("worker", "2 actions, 4 partitions")
    assert not capsys.readouterr().out
    assert caplog.messages == ["worker ready: 2 actions, 4 partitions"]


def test_a_combined_process_is_ready_when_all_of_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the order of its roles, with what each said last."""
    shared = Shared(Settings(), "combined", ["coordinator", "worker"])
    shared.say_ready("worker", "2 actions")
    shared.say_ready("worker", "3 actions")
    assert not capsys.readouterr().out

    shared.say_ready("coordinator", "partitions 0, 1 of 2")
    said = "planstream combined ready: partitions 0, 1 of 2; 3 actions\n"
    assert capsys.readouterr().out == said


def test_the_watch_names_whoever_is_known_by_then() -> None:
    """The engine that knows handlers begins later than the watch."""

    async def scenario() -> None:
        shared = Shared(Settings(), "combined", ["coordinator", "worker"])
        watchdog = shared.watch()
        task = asyncio.current_task()
        assert task is not None
        unnamed = f"{task.get_name()} has blocked the event loop for 1.5 s"
        assert watchdog._finding(1.5) == unnamed
        shared.naming = lambda _: "handler freeze"
        named = "handler freeze has blocked the event loop for 1.5 s"
        assert watchdog._finding(1.5) == named

    asyncio.run(scenario())
