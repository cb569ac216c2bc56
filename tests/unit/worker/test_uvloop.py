"""The worker on the event loop that it really runs on."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest
import uvloop

from agents import StepContext
from agents.handlers import Registry
from tests.unit.worker import plain_handlers
from tests.unit.worker.harness import TOPIC, bench, eventually, in_uvloop
from tests.unit.worker.system import children

registry = Registry()
for name in ("echo", "whoami", "exit", "stubborn"):
    registry.add(f"plain-{name}", plain_handlers.registry[name].function)


@registry.action("sleep")
async def sleep(step: StepContext, payload: dict[str, Any]) -> str:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    await asyncio.sleep(payload["seconds"])
    return "slept"


@registry.action("exit")
async def leave(step: StepContext) -> None:
    raise SystemExit(1)


@in_uvloop
async def test_async_handlers() -> None:
    """Answered, announced, timed out, failed."""
    async with bench(registry) as b:
        b.offer("sleep", {"seconds": 0.2})
        b.offer("sleep", {"seconds": 60}, timeout_ms=50)
        b.offer("exit", redelivered=True)
        await b.answered(3)
        assert {each.error.error_code for each in b.sink.failed} == {
            "STEP_TIMEOUT",
            "STEP_ERROR",
        }
        assert b.sink.results == ["slept"]
        assert len(b.sink.started) == 2
        await eventually(lambda: b.engine.committable() == {(TOPIC, 0): 3})


@pytest.mark.parametrize(
    ("action", "code"),
    [("plain-exit", "UNKNOWN_ERROR"), ("plain-stubborn", "STEP_TIMEOUT")],
)
@in_uvloop
async def test_plain_functions(action: str, code: str) -> None:
    """Children are started, called, killed, replaced and gone in the end."""
    async with bench(registry, processes=1) as b:
        told = json.loads((await b.run("plain-whoami")).result)
        assert told["parent"] == os.getpid()
        assert (await b.run(action, timeout_ms=300)).error.error_code == code
        assert (await b.run("plain-echo")).result == "{}"
        await b.engine.stop(1)
        assert children() == []
