"""An event loop whose clock jumps to whatever is due next."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

Args = TypeVarTuple("Args")
Result = TypeVar("Result")

START_MS = 1_800_000_000_000
"""The wall clock of a virtual loop at its beginning: always the same."""


class NothingWillHappen(RuntimeError):
    """Everything waits, and nothing is scheduled that could end that."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order of a real loop; waiting takes no time.

    There is no IO. Work given to threads (`asyncio.to_thread`) is waited for while
    virtual time stands still.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._in_threads = 0
        self._woken = threading.Event()
        self._selector = self  # `_run_once` of the base class asks this to wait

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now_s

    def now_ms(self) -> int:
        """The virtual wall clock, Unix milliseconds."""
        return START_MS + round(self._now_s * 1000)

    def select(self, timeout: float | None) -> list[Any]:
        """Wait, which is: jump to when the next callback is due."""
        if timeout == 0:
            return []
        if self._in_threads:
            self._woken.wait()
            self._woken.clear()
        elif timeout is None:
            raise NothingWillHappen("everything waits, and for nothing that will come")
        else:
            self._now_s += timeout
        return []

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Args], Result],
        *args: *Args,
    ) -> asyncio.Future[Result]:
        """Have a thread do something; virtual time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._thread_is_done)
        return future

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ARG002 - as the base class has it
    ) -> None:
        """End the threads; nothing to wait for, as none works unseen."""
        executor = getattr(self, "_default_executor", None)
        if executor is not None:
            executor.shutdown(wait=True)

    def _thread_is_done(self, _: Any) -> None:
        self._in_threads -= 1

    def _process_events(self, event_list: list[Any]) -> None:
        """There is no IO, hence none to tell of."""

    def _write_to_self(self) -> None:
        self._woken.set()
