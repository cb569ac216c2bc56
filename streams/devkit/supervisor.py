"""Keeps processes running: starts them, starts them again, and stops them."""

import asyncio
import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.devkit.lifeline import CannotStart, Lifeline
from streams.devkit.lines import Lines, Sink, prefixed

STOPPED_WITHIN_S = 20.0
TAIL_LINES = 40

_CHUNK_BYTES = 65_536
_DRAINED_WITHIN_S = 2.0
"""A grandchild that left its group may hold the output open after the end."""


@dataclass(frozen=True)
class Command:
    """A process that is to be kept running."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables on top of this process's own."""
    cwd: Path | None = None
    ready: str | None = None
    """It is ready when a line of its output contains this; at once when None."""


@dataclass(frozen=True)
class Backoff:
    """How long to wait before a process that ended is started again."""

    first_s: float = 0.5
    factor: float = 2.0
    most_s: float = 15.0
    good_after_s: float = 30.0
    """A process that lived this long is started again as if it were the first time."""

    def delay_s(self, failures: int) -> float:
        """Return the wait after so many ends in a row (from 1)."""
        exponent = min(failures - 1, 64)
        return float(min(self.first_s * self.factor**exponent, self.most_s))


@dataclass(frozen=True)
class Exit:
    """One end of a supervised process."""

    code: int
    """As `subprocess` says it: a negative number is a signal."""
    lived_s: float


class NotReady(Exception):
    """A process has not become ready: in time, or ever."""

    def __init__(self, name: str, why: str, tail: Sequence[str]) -> None:
        """Take the process's name, what happened, and its last lines."""
        self.name = name
        self.tail = tuple(tail)
        super().__init__("\n".join((f"{name} {why}; it said last:", *self.tail)))


class Supervised:
    """One command and its present process; made by `Supervisor.start`."""

    def __init__(
        self,
        command: Command,
        *,
        sink: Sink,
        backoff: Backoff,
        stopped_within_s: float,
        give_up_after: int | None,
    ) -> None:
        self.command = command
        self.starts = 0
        """How many processes there have been."""
        self.exits: list[Exit] = []
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        """The last lines of output."""
        self._sink = sink
        self._backoff = backoff
        self._stopped_within_s = stopped_within_s
        self._give_up_after = give_up_after
        self._line: Lifeline | None = None
        self._changed = asyncio.Condition()
        self._ready = False
        self._stopping = asyncio.Event()
        self._failure: str | None = None
        self._task = asyncio.create_task(
            self._supervise(), name=f"supervise {command.name}"
        )

    @property
    def name(self) -> str:
        """The command's name."""
        return self.command.name

    @property
    def pid(self) -> int | None:
        """The process id of the present process; None while there is none."""
        return self._line.pid if self._line is not None else None

    @property
    def is_ready(self) -> bool:
        """Whether the present process has said that it is ready."""
        return self._ready

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until the present process, or one of its successors, is ready.

        Raises:
            NotReady: It is not after `timeout_s`, or has been given up.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._ready or self._is_over())
        if self._ready:
            return
        why = self._failure or f"is not ready after {timeout_s:g} s"
        raise NotReady(self.name, why, self.tail)

    async def wait_start(self, number: int, timeout_s: float) -> None:
        """Wait for the start of its `number`-th process (from 1).

        Raises:
            NotReady: There was none within `timeout_s`, or it has been given up.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(
                    lambda: self.starts >= number or self._is_over()
                )
        if self.starts < number:
            why = self._failure or f"has no start {number} after {timeout_s:g} s"
            raise NotReady(self.name, why, self.tail)

    def send_signal(self, number: int) -> None:
        """Send the present process a signal, if there is one."""
        if self._line is not None:
            self._line.send(number)

    def kill(self) -> None:
        """End the present process by SIGKILL; it will be started again."""
        self.send_signal(signal.SIGKILL)

    async def stop(self) -> None:
        """End it for good: by SIGTERM, or by SIGKILL when that takes too long."""
        self._stopping.set()
        self.send_signal(signal.SIGTERM)
        # One that is frozen would not see the other signal.
        self.send_signal(signal.SIGCONT)
        done, _ = await asyncio.wait({self._task}, timeout=self._stopped_within_s)
        if not done:
            self.kill()
        await self._task

    def restart(self) -> None:
        """Have it end in good order; it is started again after the usual wait."""
        self.send_signal(signal.SIGTERM)
        self.send_signal(signal.SIGCONT)

    def _is_over(self) -> bool:
        return self._failure is not None or self._stopping.is_set()

    async def _supervise(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                end = await self._run_once()
            except CannotStart as error:
                await self._give_up(f"cannot be started: {error}")
                return
            failures = 1 if end.lived_s >= self._backoff.good_after_s else failures + 1
            if self._stopping.is_set():
                break
            if self._give_up_after is not None and failures >= self._give_up_after:
                await self._give_up(f"ended {failures} times, last with {end.code}")
                return
            await self._pause(self._backoff.delay_s(failures))
        await self._tell()

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    async def _give_up(self, why: str) -> None:
        self._failure = why
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _run_once(self) -> Exit:
        """Run one process from its start to its end."""
        began = time.monotonic()
        line = Lifeline()
        guard = await self._spawn(line)
        self._line = line
        try:
            if self._stopping.is_set():
                # The request to stop came while there was nobody to pass it on to.
                line.send(signal.SIGTERM)
            await self._has_started()
            code = await self._follow(guard)
        finally:
            self._ready = False
            self._line = None
            line.release()
        end = Exit(code, time.monotonic() - began)
        self.exits.append(end)
        await self._tell()
        return end

    async def _spawn(self, line: Lifeline) -> asyncio.subprocess.Process:
        try:
            guard = await asyncio.create_subprocess_exec(
                *line.command(self.command.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **self.command.env},
                cwd=self.command.cwd,
                pass_fds=line.pass_fds,
                start_new_session=True,
            )
        except OSError as error:
            line.abandon()
            raise CannotStart(str(error)) from error
        try:
            await asyncio.to_thread(line.attach)
        except CannotStart:
            await guard.communicate()
            raise
        return guard

    async def _has_started(self) -> None:
        self.starts += 1
        self._ready = self.command.ready is None
        await self._tell()

    async def _follow(self, guard: asyncio.subprocess.Process) -> int:
        reader = asyncio.create_task(self._read(guard))
        code = await guard.wait()
        _, slow = await asyncio.wait({reader}, timeout=_DRAINED_WITHIN_S)
        for task in slow:
            task.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        return code

    async def _read(self, guard: asyncio.subprocess.Process) -> None:
        if guard.stdout is None:
            return
        lines = Lines()
        while data := await guard.stdout.read(_CHUNK_BYTES):
            for text in lines.feed(data):
                await self._take(text)
        for text in lines.rest():
            await self._take(text)

    async def _take(self, text: str) -> None:
        self.tail.append(text)
        # Nobody may read any more; the processes go on.
        with contextlib.suppress(OSError, ValueError):
            self._sink(self.name, text)
        if not self._ready and self.command.ready and self.command.ready in text:
            self._ready = True
            await self._tell()


class Supervisor:
    """Keeps commands running until it is stopped; an async context manager.

    All processes die with this one, whatever ends it.

    Args:
        sink: Is given each line of output with its process's name; standard output,
            prefixed with the name, by default.
        backoff: How long to wait between starts.
        stopped_within_s: How long a process may take to end before it is killed.
        give_up_after: After so many ends in a row, none of them after a good while, a
            command is not started again; never when None.
    """

    def __init__(
        self,
        *,
        sink: Sink | None = None,
        backoff: Backoff | None = None,
        stopped_within_s: float = STOPPED_WITHIN_S,
        give_up_after: int | None = None,
    ) -> None:
        self._sink = sink or prefixed()
        self._backoff = backoff or Backoff()
        self._stopped_within_s = stopped_within_s
        self._give_up_after = give_up_after
        self.processes: dict[str, Supervised] = {}

    async def __aenter__(self) -> Self:
        """Return itself; nothing is started yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything."""
        await self.stop()

    def start(self, command: Command) -> Supervised:
        """Start a command, and keep it running.

        Raises:
            ValueError: A command of that name is running already.
        """
        if command.name in self.processes:
            raise ValueError(f"{command.name!r} has been started already")
        supervised = Supervised(
            command,
            sink=self._sink,
            backoff=self._backoff,
            stopped_within_s=self._stopped_within_s,
            give_up_after=self._give_up_after,
        )
        self.processes[command.name] = supervised
        return supervised

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until all are ready.

        Raises:
            NotReady: One is not after `timeout_s`, or has been given up.
        """
        waits = (each.wait_ready(timeout_s) for each in self.processes.values())
        await asyncio.gather(*waits)

    async def stop_one(self, name: str) -> None:
        """Stop one command for good; its name is free again."""
        await self.processes[name].stop()
        del self.processes[name]

    async def stop(self) -> None:
        """Stop all at the same time."""
        running = list(self.processes.values())
        self.processes.clear()
        await asyncio.gather(*(each.stop() for each in running))
