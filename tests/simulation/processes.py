"""Simulated processes on one virtual loop: they stop, go on later, or vanish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVarTuple

from streams.testing import VirtualLoop

Args = TypeVarTuple("Args")
OWNER: ContextVar[Process | None] = ContextVar("OWNER", default=None)


class Vanished(BaseException):
    """Unwinds what ran when its process was ended."""


class Process:
    """Whose callbacks run, are held back, or are dropped.

    Attributes:
        name: stays over restarts.
        skew_ms: how far its wall clock is off.
        paused_since_ready: it may be fenced, and may then say so and end.
        fuse: at which of its requests to the broker it vanishes; 0 is never.
    """

    def __init__(self, loop: SimLoop, name: str, skew_ms: int = 0) -> None:
        self.loop = loop
        self.name = name
        self.skew_ms = skew_ms
        self.is_dead = False
        self.is_paused = False
        self.paused_since_ready = False
        self.ever_paused = False
        self.paused_at = -1.0
        self.fuse = 0
        self.held: list[asyncio.Handle] = []
        self.on_end: Callable[[Process], None] = lambda _process: None
        self._context = copy_context()
        self._context.run(OWNER.set, self)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something in this process."""
        return self.loop.create_task(coroutine, context=self._context.copy())

    def crash(self) -> None:
        """Vanish: nothing of it runs any more."""
        if not self.is_dead:
            self.is_dead = True
            self.held.clear()
            self.on_end(self)

    def pause(self) -> None:
        """Stand still."""
        self.is_paused = self.paused_since_ready = self.ever_paused = True
        self.paused_at = self.loop.time()

    def go_on(self) -> None:
        """Run what has gathered, in its order."""
        self.is_paused = False
        held, self.held = self.held, []
        if not self.is_dead:
            self.loop.run_handles(held)


class SimLoop(VirtualLoop):
    """Looks whose callback it is before it runs it."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[asyncio.Task[Any]] = []
        """All there were: what was left of a dead process is not collected."""
        self.set_task_factory(self._make_task)

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        self.tasks.append(task)
        return task

    def call_soon(
        self,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.Handle:
        within = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, within)
        self._admit(within.get(OWNER), handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        within = copy_context() if context is None else context
        return super().call_at(when, self._fire, callback, args, context=within)

    def run_handles(self, handles: list[asyncio.Handle]) -> None:
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def _fire(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        owner = OWNER.get()
        if owner is None or not (owner.is_dead or owner.is_paused):
            callback(*args)
        else:
            self._admit(owner, asyncio.Handle(callback, args, self, copy_context()))

    def _admit(self, owner: Process | None, handle: asyncio.Handle) -> None:
        if owner is None or not (owner.is_dead or owner.is_paused):
            self._ready.append(handle)  # type: ignore[attr-defined]
        elif not owner.is_dead:
            owner.held.append(handle)
