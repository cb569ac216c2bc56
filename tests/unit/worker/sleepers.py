"""Handlers that sleep, and do not all wake up when they should."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from agents import StepContext
from agents.handlers import Registry
from agents.scheduling import Position
from tests.unit.worker.harness import TOPIC, Bench


class Log:
    """What handlers did, and when."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, float]] = []

    def add(self, what: str, step: StepContext) -> None:
        self.lines.append((what, step.attempt, time.monotonic()))

    def said(self) -> list[tuple[str, int]]:
        return [(what, attempt) for what, attempt, _ in self.lines]

    def at(self, what: str, attempt: int) -> float:
        return next(t for w, a, t in self.lines if (w, a) == (what, attempt))


log = Log()
registry = Registry()


@registry.action("sleep")
async def sleep(step: StepContext, payload: dict[str, Any]) -> str:
    log.add("start", step)
    try:
        await asyncio.sleep(payload.get("seconds", 60))
    except asyncio.CancelledError:
        log.add("cancelled", step)
        await asyncio.sleep(payload.get("cleanup", 0))
        log.add("clean", step)
        raise
    return "slept"


@registry.action("stubborn")
async def stubborn(step: StepContext, payload: dict[str, Any]) -> str:
    log.add("start", step)
    until = time.monotonic() + payload["seconds"]
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            log.add("swallowed", step)
    log.add("end", step)
    step.warn("TOO_LATE", "nobody listens")
    return "too late"


@registry.action("deaf")
async def deaf(step: StepContext) -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "as if nothing had been"
    return ""


@registry.action("blunt")
async def blunt(step: StepContext) -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise SystemExit(1) from None


@registry.action("echo")
async def echo(step: StepContext, payload: dict[str, Any]) -> Any:
    log.add("start", step)
    return payload


def again(b: Bench, given: dict[str, Any], attempt: int) -> None:
    """Offers another attempt of the same step."""
    position = Position(TOPIC, 0, b.offset)
    b.offset += 1
    request = dict(given, attempt=attempt)
    b.engine.offer(position, request, 0.0, redelivered=False)
