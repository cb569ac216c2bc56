"""Plain functions that child processes find by importing this module."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

from pydantic import BaseModel

from agents import ActionError, StepContext
from agents.handlers import Registry

registry = Registry()
handler = registry.action


class Item(BaseModel):
    name: str


@handler("echo")
def echo(step: StepContext, payload: dict[str, Any]) -> Any:
    return payload


@handler("whoami")
def whoami(step: StepContext) -> Any:
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "ids": [step.plan_id, step.execution_id, step.step_id],
        "attempt": step.attempt,
        "region": step.environment["region"],
        "remaining": step.remaining,
        "user": step.user_id,
    }


@handler("model")
def model(step: StepContext, payload: Item) -> Item:
    return Item(name=payload.name.upper())


@handler("block")
def block(step: StepContext, payload: dict[str, Any]) -> str:
    with open(payload["file"], "a") as file:  # noqa: PTH123 (short)
        print(os.getpid(), file=file)
    time.sleep(payload.get("seconds", 60))
    return "done"


@handler("stubborn")
def stubborn(step: StepContext) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            time.sleep(60)
        except BaseException:  # noqa: BLE001 (the point)
            continue


@handler("busy")
def busy(step: StepContext) -> None:
    while True:
        pass


@handler("shell")
def shell(step: StepContext, payload: dict[str, Any]) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        with open(payload["file"], "w") as file:  # noqa: PTH123 (short)
            print(process.pid, file=file)
        process.wait()


@handler("exit")
def exit_hard(step: StepContext) -> None:
    os._exit(3)


@handler("suicide")
def suicide(step: StepContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@handler("segfault")
def segfault(step: StepContext) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@handler("hang-up")
def hang_up(step: StepContext) -> None:
    os.closerange(3, 100)
    time.sleep(60)


@handler("memory")
def memory(step: StepContext) -> int:
    return len(bytearray(4 << 30))


@handler("raise")
def raise_what(step: StepContext, payload: dict[str, Any]) -> None:
    kinds: dict[str, BaseException] = {
        "action": ActionError("MINE", "because", context={"more": 1}),
        "fatal": ActionError("MINE", severity="fatal"),
        "value": ValueError("wrong"),
        "exit": SystemExit(1),
        "interrupt": KeyboardInterrupt(),
        "cancelled": asyncio.CancelledError(),
        "memory": MemoryError(),
    }
    raise kinds[payload["what"]] from LookupError("why")


@handler("return")
def return_what(step: StepContext, payload: dict[str, Any]) -> Any:
    return {
        "nan": float("nan"),
        "set": {1},
        "large": "x" * 300_000,
        "huge": 10**6000,
        "coroutine": asyncio.sleep,
    }[payload["what"]]


@handler("warn")
def warn(step: StepContext, payload: dict[str, Any]) -> None:
    step.warn("LOW_STOCK", "two left")
    step.logger.warning("look here")
    logging.getLogger("library").error("and here")
    if payload.get("die"):
        os._exit(1)


@handler("print")
def print_much(step: StepContext) -> str:
    print("x" * 1000)
    sys.stdin.read()
    return "printed"


@handler("share")
def share(step: StepContext, payload: dict[str, Any]) -> Any:
    seen = dict(payload)
    payload["mine"] = 1
    return seen
