"""Child processes for plain functions: they may block, and can be killed (§6.9).

A pool library would do for the calls, but not for their limits: pebble looks for
expired calls every 100 ms, and tells neither when a call has started (its limit runs
from there, R10) nor, before it ends, what it warned of.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from agents import frames
from agents.context import log_extra
from agents.execution import Attempt
from agents.failures import Failure, StepUnfit
from schemas.errors import ErrorCode

log = logging.getLogger(__name__)

READY_WITHIN = 60.0
"""Seconds for a child to import the handlers; a machine under load takes its time."""
DEAD_WITHIN = 0.5
"""Seconds from a closed connection to the end of the process, or it is killed."""
REAP_EVERY = 0.01
TRIES = 2
"""Children tried for a call: an idle one may have died just now."""
MAIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from agents.child import main; main(int(sys.argv[1]))"
)
"""Not `-m`: the child must find modules exactly where its parent does."""


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """What a child needs to know.

    Attributes:
        modules: Imported before the first call, so that no attempt pays for it.
        memory_bytes: Address space; None is unlimited.
        max_result_bytes: Of a result's JSON text.
    """

    modules: tuple[str, ...]
    memory_bytes: int | None
    max_result_bytes: int


class Child:
    """One child process, and the connection to it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process = process
        self._reader = reader
        self._writer = writer
        self._reaper: asyncio.Task[None] | None = None

    @classmethod
    async def launch(cls) -> Self:
        """Starts a child; it must be greeted before it is called."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            return cls(_popen(theirs.fileno()), reader, writer)

    async def greet(self, settings: ChildSettings) -> None:
        """Waits until the child is ready for calls.

        Raises:
            StepUnfit: It cannot get ready.
        """
        self.send(
            {
                "parent": os.getpid(),
                "modules": settings.modules,
                "memory_bytes": settings.memory_bytes,
                "log_level": logging.getLogger().getEffectiveLevel(),
            }
        )
        try:
            await asyncio.wait_for(self.read(), READY_WITHIN)
        except (EOFError, TimeoutError):
            raise _broken(f"{await self.end()} before it was ready") from None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def send(self, message: frames.Message) -> None:
        """Tells the child something; whether it got it, the next `read` shows."""
        self._writer.write(frames.pack(message))

    async def read(self) -> frames.Message:
        """The next message of the child; raises EOFError when there is none."""
        return await frames.read(self._reader)

    def kill(self) -> asyncio.Task[None]:
        """Ends the child, with whatever processes it started, now.

        Returns:
            Done when it has left the system's list of processes.
        """
        if self._reaper is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self._writer.close()
            self._reaper = asyncio.get_running_loop().create_task(self._reap())
        return self._reaper

    async def end(self) -> str:
        """How the child ended, which has closed its connection."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._reap(), DEAD_WITHIN)
        code = self.process.returncode
        self.kill()
        if code is None:
            return "closed its connection"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with code {code}"

    async def _reap(self) -> None:
        # No thread waits here: handlers may keep all of the default pool's busy.
        while self.process.poll() is None:  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(REAP_EVERY)


class Call:
    """One attempt, as it is made in a child.

    Attributes:
        has_begun: The handler was started, and must not be started again.
        is_over: The child has answered, and is free.
    """

    def __init__(self, attempt: Attempt, child: Child) -> None:
        self.child = child
        self._attempt = attempt
        self._answer: frames.Message = {}
        self.has_begun = False
        self.is_over = False

    async def make(self, max_result_bytes: int) -> str:
        """Returns the handler's result.

        Raises:
            EOFError: The child has died.
            StepUnfit: The handler failed.
        """
        handler = self._attempt.handler
        self.child.send(
            {
                "request": self._attempt.request,
                "module": handler.module,
                "name": handler.name,
                "max_result_bytes": max_result_bytes,
            }
        )
        while not self.is_over:
            message = await self.child.read()
            HEAR[message["kind"]](self, message)
        if "failure" in self._answer:
            raise StepUnfit(Failure.of_dict(self._answer["failure"]))
        result: str = self._answer["result"]
        return result

    def started(self, _message: frames.Message) -> None:
        """The handler runs: its limit counts from now."""
        self.has_begun = True
        self._attempt.begin()

    def warned(self, message: frames.Message) -> None:
        """The handler has warned of something."""
        self._attempt.warn(message["code"], message["message"])

    def logged(self, message: frames.Message) -> None:
        """Something in the child has logged."""
        logger = logging.getLogger(message["name"])
        extra = log_extra(self._attempt.request)
        logger.log(message["level"], "%s", message["message"], extra=extra)

    def answered(self, message: frames.Message) -> None:
        """The handler has returned or raised."""
        self.is_over = True
        self._answer = message


HEAR: dict[str, Callable[[Call, frames.Message], None]] = {
    "started": Call.started,
    "warned": Call.warned,
    "logged": Call.logged,
    "succeeded": Call.answered,
    "failed": Call.answered,
}


class Children:
    """The child processes of a step worker, started when they are needed.

    How many there are at most is decided by whoever calls: one for each call that is
    under way.
    """

    def __init__(self, settings: ChildSettings) -> None:
        self._settings = settings
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._warming: asyncio.Task[None] | None = None

    def warm_up(self) -> None:
        """Has one child ready before it is asked for."""
        self._warming = asyncio.get_running_loop().create_task(self._warm_up())

    async def call(self, attempt: Attempt) -> str:
        """Makes an attempt in a child, which is killed when this is cancelled.

        Raises:
            StepUnfit: The handler failed, or its process died.
        """
        ended = ""
        for _ in range(TRIES):
            call = Call(attempt, await self._take())
            try:
                return await call.make(self._settings.max_result_bytes)
            except EOFError:
                ended = await call.child.end()
            finally:
                self._give_back(call)
            if call.has_begun:
                break
        raise _broken(f"{ended} while it ran the handler")

    async def close(self) -> None:
        """Ends all children."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        self._idle.clear()
        await asyncio.gather(*(child.kill() for child in self._all))

    async def _warm_up(self) -> None:
        try:
            self._idle.append(await self._new())
        except StepUnfit as unfit:
            log.warning("%s", unfit.failure.message)

    async def _take(self) -> Child:
        if self._warming is not None:
            await asyncio.wait([self._warming])
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            self._discard(child)
        return await self._new()

    async def _new(self) -> Child:
        try:
            child = await Child.launch()
        except OSError as error:
            raise _broken(f"cannot be started: {error}") from None
        self._all.add(child)
        try:
            await child.greet(self._settings)
        except BaseException:
            self._discard(child)
            raise
        return child

    def _give_back(self, call: Call) -> None:
        """Keeps a child that has answered, kills one that has not."""
        if call.is_over:
            self._idle.append(call.child)
        else:
            self._discard(call.child)

    def _discard(self, child: Child) -> None:
        child.kill().add_done_callback(lambda _: self._all.discard(child))


def _popen(fd: int) -> subprocess.Popen[bytes]:
    """A child in a session of its own: a kill reaches what it started, ^C does not."""
    arguments = [sys.executable, "-c", MAIN, str(fd), json.dumps(sys.path)]
    return subprocess.Popen(  # noqa: S603 (our own interpreter, our own code)
        arguments, pass_fds=[fd], stdin=subprocess.DEVNULL, start_new_session=True
    )


def _broken(what: str) -> StepUnfit:
    message = f"the child process {what}"
    return StepUnfit(Failure.fatal(ErrorCode.UNKNOWN_ERROR, message))
