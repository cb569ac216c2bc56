"""What runs in a child process: plain functions, one call after the other."""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from agents import frames
from agents.context import StepContext
from agents.failures import Failure, StepUnfit, failure_of, title_of
from agents.handlers import Handler
from agents.serialization import dump_json
from schemas.errors import ErrorCode

_PR_SET_PDEATHSIG = 1
_LOOK_FOR_PARENT = 1.0


class Connection:
    """The way to the parent; log records may come from any thread."""

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent
        self._lock = threading.Lock()

    def send(self, kind: str, **members: Any) -> None:
        """Tells the parent something."""
        data = frames.pack({"kind": kind, **members})
        with self._lock:
            self._parent.sendall(data)

    def receive(self) -> frames.Message:
        """The next call."""
        return frames.receive(self._parent)


class LogForwarder(logging.Handler):
    """Hands log records to the parent, which has logging configured."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one record."""
        with suppress(Exception):  # a log line must never end a call
            self._connection.send(
                "logged",
                name=record.name,
                level=record.levelno,
                message=self.format(record),
            )


def main(fd: int) -> None:
    """Serves the parent at the other end of a socket until that is closed."""
    os.set_inheritable(fd, False)
    connection = Connection(socket.socket(fileno=fd))
    hello = connection.receive()
    _die_with_parent(hello["parent"])
    _limit_memory(hello["memory_bytes"])
    logging.basicConfig(
        level=hello["log_level"],
        format="%(message)s",
        handlers=[LogForwarder(connection)],
    )
    for module in hello["modules"]:
        with suppress(Exception):  # the call that needs it says what is wrong
            importlib.import_module(module)
    connection.send("ready")
    with suppress(EOFError):
        while True:
            serve(connection, connection.receive())


def serve(connection: Connection, call: frames.Message) -> None:
    """Makes one attempt, and tells its outcome."""
    try:
        result = _perform(connection, call)
    except BaseException as exception:  # noqa: BLE001 (SystemExit is an outcome, R26)
        connection.send("failed", failure=failure_of(exception).as_dict())
    else:
        connection.send("succeeded", result=result)


def _perform(connection: Connection, call: frames.Message) -> str:
    request = call["request"]
    handler = Handler(request["action"], _find(call["module"], call["name"]))
    limits = Limits(request)
    step = StepContext(
        request,
        lambda code, message: connection.send("warned", code=code, message=message),
        limits.seconds_left,
    )
    arguments = handler.arguments(step, request["payload"])
    limits.begin()
    connection.send("started")
    return dump_json(handler.function(*arguments), call["max_result_bytes"])


class Limits:
    """How long a call may take, for handlers that ask; the parent enforces it."""

    def __init__(self, request: frames.Message) -> None:
        self._request = request
        self._began = time.monotonic()

    def begin(self) -> None:
        """The handler starts now."""
        self._began = time.monotonic()

    def seconds_left(self) -> float:
        """Seconds until the step's own or the plan's limit, whichever is nearer."""
        plan: float = self._request["deadline_ms"] / 1000 - time.time()
        timeout_ms = self._request["timeout_ms"]
        if timeout_ms is None:
            return plan
        own: float = self._began + timeout_ms / 1000 - time.monotonic()
        return min(own, plan)


def _find(module: str, name: str) -> Callable[..., Any]:
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # noqa: BLE001 (an import can fail in any way)
        what = f"the child process cannot find the handler {module}.{name}"
        failure = Failure.fatal(ErrorCode.UNKNOWN_ERROR, f"{what}: {title_of(error)}")
        raise StepUnfit(failure) from None
    function: Callable[..., Any] = found
    return function


def _limit_memory(limit: int | None) -> None:
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _die_with_parent(parent: int) -> None:
    """Nobody else ends a child whose parent was killed while a handler runs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_FOR_PARENT)
    os.killpg(os.getpgrp(), signal.SIGKILL)
