"""Handlers that the broker tests' plans ask for."""

from __future__ import annotations

import asyncio
import builtins
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agents import ActionError, StepContext, action


@action("echo")
async def echo(step: StepContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Return what it was given, and who it is."""
    return {"payload": payload, "step": step.step_id, "attempt": step.attempt}


@action("sleep")
async def sleep(step: StepContext, payload: dict[str, Any]) -> int:
    """Take `ms` milliseconds."""
    await asyncio.sleep(payload["ms"] / 1000)
    return int(payload["ms"])


@action("simulate")
async def simulate(step: StepContext, payload: dict[str, Any]) -> None:
    """Take as long as the recorded task did, scaled."""
    await asyncio.sleep(payload["runtime_ms"] / 1000)


@action("fail")
async def fail(step: StepContext, payload: dict[str, Any]) -> None:
    """Fail with `code`."""
    raise ActionError(
        payload.get("code", "BROKEN"),
        payload.get("message", "as asked"),
        severity=payload.get("severity", "error"),
    )


@action("complain")
async def complain(step: StepContext, payload: dict[str, Any]) -> None:
    """Fail with so many characters of message and diagnostics."""
    detail = "d" * int(payload["detail"])
    message = "m" * int(payload["message"])
    raise ActionError("COMPLAINT", message, context={"detail": detail})


@action("flaky")
async def flaky(step: StepContext, payload: dict[str, Any]) -> int:
    """Fail until the attempt `succeeds_at`."""
    if step.attempt < payload["succeeds_at"]:
        raise ActionError("FLAKY", f"attempt {step.attempt} fails")
    return step.attempt


@action("warn")
async def warn(step: StepContext, payload: dict[str, Any]) -> None:
    """Warn, and complete."""
    step.warn("SLOW", "took its time")


@action("environment")
async def environment(step: StepContext, payload: dict[str, Any]) -> Any:
    """Return the environment value of `name`."""
    return step.environment[payload["name"]]


@action("length")
async def length(step: StepContext, payload: dict[str, Any]) -> int:
    """Return how long the environment value of `name` is."""
    return len(step.environment[payload["name"]])


@action("depth")
async def depth(step: StepContext, payload: dict[str, Any]) -> int:
    """Return how deep the environment value of `name` nests, a list in a list."""
    value, levels = step.environment[payload["name"]], 1
    while value:
        value, levels = value[0], levels + 1
    return levels


@action("block")
def block(step: StepContext, payload: dict[str, Any]) -> int:
    """Hold a process for `ms` milliseconds; tell its id in the file `pid`."""
    if "pid" in payload:
        Path(payload["pid"]).write_text(str(os.getpid()))
    time.sleep(payload["ms"] / 1000)
    return os.getpid()


@action("linger")
async def linger(step: StepContext, payload: dict[str, Any]) -> None:
    """Take ten seconds; tell in the file `told` that it began, and how it ended."""
    tell = Path(payload["told"]).write_text
    tell("began")
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        tell("cancelled")
        raise
    tell("ended")


@contextmanager
def tallied(payload: dict[str, Any]) -> Iterator[float]:
    """Write down when a run begins and ends; gives the seconds that it takes."""
    with Path(payload["told"]).open("a+") as told:
        told.seek(0)
        run = told.read().count("began")
        told.write("began ")
        told.flush()
        yield payload["ms"][run] / 1000
        told.write("ended ")


@action("tally")
async def tally(step: StepContext, payload: dict[str, Any]) -> None:
    """Keep a tally of its runs in the file `told`; run n takes `ms[n]`."""
    with tallied(payload) as seconds:
        await asyncio.sleep(seconds)


@action("tally-plain")
def tally_plain(step: StepContext, payload: dict[str, Any]) -> None:
    """Do so in a process of its own."""
    with tallied(payload) as seconds:
        time.sleep(seconds)


@action("freeze")
async def freeze(step: StepContext, payload: dict[str, Any]) -> None:
    """Block the worker's loop for `ms` milliseconds."""
    time.sleep(payload["ms"] / 1000)  # noqa: ASYNC251 - that is what it is for


@action("slow-at-first")
async def slow_at_first(step: StepContext, payload: dict[str, Any]) -> int:
    """Take ten seconds at the first attempt, none at later ones."""
    if step.attempt == 1:
        await asyncio.sleep(10)
    return step.attempt


@action("tick")
async def tick(step: StepContext, payload: dict[str, Any]) -> None:
    """Take `ms` milliseconds; the tests route it to a queue of its own."""
    await asyncio.sleep(payload["ms"] / 1000)


@action("unserved")
async def unserved(step: StepContext, payload: dict[str, Any]) -> None:
    """Never run: the tests route it to a queue that no worker serves."""


@action("blob")
async def blob(step: StepContext, payload: dict[str, Any]) -> str:
    """Return `characters` of text."""
    return "x" * int(payload["characters"])


@action("nan")
async def nan(step: StepContext, payload: dict[str, Any]) -> dict[str, float]:
    """Return what has no JSON form."""
    return {"ratio": float("nan")}


@action("raise")
async def raise_(step: StepContext, payload: dict[str, Any]) -> None:
    """Raise the built-in exception `type`."""
    raise getattr(builtins, payload["type"])("as asked")


class Card(BaseModel):
    """What `charge` wants to be told."""

    card: str
    cents: int


@action("charge")
async def charge(step: StepContext, payload: Card) -> Card:
    """Return what it was given."""
    return payload


@action("identify")
async def identify(step: StepContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Return all that a handler is told of its execution."""
    return {
        "plan_id": step.plan_id,
        "execution_id": step.execution_id,
        "user_id": step.user_id,
        "request_id": step.request_id,
        "correlation_context": dict(step.correlation_context or {}),
        "environment": {name: step.environment[name] for name in step.environment},
    }


@action("die-alone")
def die_alone(step: StepContext, payload: dict[str, Any]) -> None:
    """Take the process of this handler down."""
    os._exit(9)


@action("plain")
def plain(step: StepContext, payload: Card) -> Card:
    """Warn; fail when the card is unknown; else return what it was given."""
    step.warn("PLAIN", "in a process of its own")
    if payload.card == "unknown":
        raise ActionError("NO_CARD", payload.card, context={"pid": os.getpid()})
    return payload


@action("die")
async def die(step: StepContext, payload: dict[str, Any]) -> None:
    """Take the whole worker down."""
    os._exit(9)
