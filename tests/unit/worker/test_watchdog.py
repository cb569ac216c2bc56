from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from agents import StepContext
from agents.handlers import Registry
from agents.watchdog import Silence
from tests.unit.worker.harness import bench, in_loop

ROOT = Path(__file__).parents[3]
registry = Registry()


@registry.action("block")
async def block(step: StepContext, payload: dict[str, Any]) -> str:
    time.sleep(payload["seconds"])  # noqa: ASYNC251 (the point)
    return "done"


@registry.action("nap")
async def nap(step: StepContext) -> None:
    await asyncio.sleep(0.5)


@in_loop
async def test_a_handler_that_blocks_the_loop_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With its plan and the line it hangs at, while it hangs; once."""
    async with bench(registry, blocked_warn=0.1) as b:
        given = b.offer("block", {"seconds": 0.5})
        await b.answered()
        assert b.fatal == []
    lines = [each.message for each in caplog.records if each.name == "agents.watchdog"]
    assert len(lines) == 1
    assert re.match(r"handler block \(tests.*test_watchdog.py:\d+\)", lines[0])
    assert given["plan_id"] in lines[0]
    assert 'time.sleep(payload["seconds"])' in lines[0]


@in_loop
async def test_past_the_limit_it_is_fatal() -> None:
    """Told while the loop hangs, by the watchdog's own thread."""
    told: list[float] = []
    async with bench(registry, blocked_warn=0.1, blocked_limit=0.3) as b:
        b.fatal = told  # type: ignore[assignment]
        b.engine._tell_fatal = lambda reason: told.append(time.monotonic())
        before = time.monotonic()
        b.offer("block", {"seconds": 1})
        await b.answered()
        assert len(told) == 1
        assert 0.25 <= told[0] - before < 0.8


@in_loop
async def test_handlers_that_wait_are_no_offence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only the loop counts, not the handler."""
    async with bench(registry, blocked_warn=0.1) as b:
        b.offer("nap")
        await b.answered()
    assert caplog.records == []


@in_loop
async def test_a_process_that_was_stopped_is_no_offence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A debugger, a frozen container, a machine that slept."""
    with caplog.at_level(logging.WARNING):
        async with bench(registry, blocked_warn=0.4, blocked_limit=0.8) as b:
            await asyncio.sleep(0.2)
            wake = f"sleep 1.5; kill -CONT {os.getpid()}"
            waker = await asyncio.create_subprocess_exec("sh", "-c", wake)
            os.kill(os.getpid(), signal.SIGSTOP)
            await waker.wait()
            await asyncio.sleep(0.5)
            assert b.fatal == []
    assert caplog.records == []


def test_silence_is_what_passes_between_beats() -> None:
    """A beat ends it."""
    silence = Silence(1.0, now=0.0)
    assert silence.measure(1, 1.0) == (0, 0)
    assert silence.measure(1, 2.0) == (0, 1)
    assert silence.measure(1, 3.5) == (1, 2.5)
    assert silence.measure(2, 4.5) == (2.5, 0)


def test_a_late_look_counts_little() -> None:
    """The thread was stopped too: nobody can say what the loop would have done."""
    silence = Silence(1.0, now=0.0)
    silence.measure(1, 1.0)
    assert silence.measure(1, 100.0) == (0, 2)


FROZEN = """
    import asyncio, re, sys
    from agents import StepContext
    from agents.handlers import Registry
    from tests.unit.worker.harness import bench

    registry = Registry()

    @registry.action("freeze")
    async def freeze(step: StepContext) -> None:
        re.match(r"(a+)+$", "a" * 60 + "b")

    async def main():
        settings = dict(blocked_warn=0.1, blocked_limit=0.4, exit_when_frozen=True)
        async with bench(registry, **settings) as b:
            await asyncio.sleep(0.5)
            print("alive", flush=True)
            await b.run("freeze")

    asyncio.run(main())
"""


def test_a_handler_that_lets_no_thread_run_ends_the_process() -> None:
    """Nothing in Python can say anything any more; the last words show the line."""
    before = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FROZEN)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert time.monotonic() - before < 10
    assert done.stdout == "alive\n"
    assert done.returncode == 1
    assert "in freeze" in done.stderr
