"""Handlers that do what the payloads of the conformance suite tell them."""

from __future__ import annotations

import asyncio
import builtins
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from pydantic import BaseModel

from agents import ActionError, StepContext, action
from streams.conformance.making import ACTION, PLAIN, TYPED


@action(ACTION)
async def scripted(step: StepContext, payload: dict[str, Any]) -> Any:
    """Do what the payload says for this attempt; without, complete with a new token.

    Two runs never complete with the same token, so that it tells them apart.
    """
    attempts = payload.get("attempts")
    if not attempts:
        return str(uuid.uuid4())
    for verb, argument in attempts[min(step.attempt, len(attempts)) - 1]:
        if verb == "sleep":
            await asyncio.sleep(argument / 1000)
        elif verb == "warn":
            step.warn(argument["code"], argument["message"])
        elif verb == "cling":
            await _cling(argument / 1000)
        else:
            return _LAST[verb](argument, step, payload)
    return "done"


class Typed(BaseModel):
    """What `typed` wants to be told."""

    card: str
    cents: int


@action(TYPED)
async def typed(step: StepContext, payload: Typed) -> Typed:
    """Complete with what it was given."""
    del step
    return payload


@action(PLAIN)
def plain(step: StepContext, payload: dict[str, Any]) -> int:
    """Block a process, for `ms` milliseconds; `die` ends it."""
    del step
    if payload.get("die"):
        os._exit(9)
    time.sleep(payload.get("ms", 0) / 1000)
    return os.getpid()


async def _cling(seconds: float) -> None:
    """Take no notice of being cancelled."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue


def _give(value: Any, _step: StepContext, _payload: dict[str, Any]) -> Any:
    return value


def _fail(how: Mapping[str, Any], _step: StepContext, _payload: object) -> NoReturn:
    options = dict(how)
    code, message = options.pop("code"), options.pop("message", "as asked")
    raise ActionError(code, message, **options)


def _raise(kind: str, _step: StepContext, _payload: object) -> NoReturn:
    if kind == "CancelledError":
        raise asyncio.CancelledError
    raise getattr(builtins, kind)("as asked")


def _tell(what: str, step: StepContext, payload: dict[str, Any]) -> Any:
    return TOLD[what](step, payload)


def _do_odd(kind: str, step: StepContext, payload: dict[str, Any]) -> Any:
    return ODD[kind](step, payload)


def _meddle(step: StepContext, payload: dict[str, Any]) -> NoReturn:
    """Change all that can be changed, and fail."""
    step.environment["mutable"].append("meddled")
    payload["meddled"] = True
    raise ActionError("MEDDLED")


def _chain(_step: object, _payload: object) -> NoReturn:
    """Fail because of something else, which failed because of something else."""
    error = ActionError("CAUSE_0")
    for number in range(1, 20):
        following = ActionError(f"CAUSE_{number}")
        following.__cause__ = error
        error = following
    raise error


@dataclass
class _Point:
    x: int
    y: tuple[int, ...]


TOLD: Final[Mapping[str, Callable[[StepContext, dict[str, Any]], Any]]] = {
    "payload": lambda _step, payload: payload,
    "environment": lambda step, _: {n: step.environment[n] for n in step.environment},
    "who": lambda step, _: {
        "plan_id": step.plan_id,
        "execution_id": step.execution_id,
        "step_id": step.step_id,
        "attempt": step.attempt,
        "user_id": step.user_id,
        "request_id": step.request_id,
        "correlation_context": dict(step.correlation_context),
    },
}
ODD: Final[Mapping[str, Callable[[StepContext, dict[str, Any]], Any]]] = {
    "nan": lambda *_: {"ratio": float("nan")},
    "bytes": lambda *_: b"bytes",
    "set": lambda *_: {1, 2},
    "keys": lambda *_: {1: "no text"},
    "tuple": lambda *_: (1, (2,)),
    "none": lambda *_: None,
    "huge int": lambda *_: 10**40,
    "model": lambda *_: Typed(card="c", cents=1),
    "dataclass": lambda *_: _Point(1, (2, 3)),
    "long": lambda _, payload: "x" * (payload["bytes"] - 2),
    "long message": lambda *_: _fail({"code": "LONG", "message": "é" * 2500}, *_),
    "causes": _chain,
    "meddle": _meddle,
    "die": lambda *_: os._exit(9),
}
_LAST: Final[Mapping[str, Callable[[Any, StepContext, dict[str, Any]], Any]]] = {
    "give": _give,
    "fail": _fail,
    "raise": _raise,
    "tell": _tell,
    "odd": _do_odd,
}
"""What ends an attempt."""
