"""Calls the error handler, a user's function, within a limit of time."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.handlers import is_async
from schemas.results import PlanResult

log = logging.getLogger(__name__)

GRACE_S = 1.0
"""How long a call that was cancelled may take to end."""
MAX_LEAKED = 16
"""Calls that run on past their limit; one more is fatal."""


@dataclass(frozen=True, slots=True)
class FailureNotice:
    """What the error handler is told of a failed plan (R42).

    Attributes:
        result: The plan's result, as it was published.
        correlation_context: As the plan was submitted with.
        attempt: From 1; how often this failure was tried in this process.
    """

    result: PlanResult
    correlation_context: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1


ErrorCallable = Callable[[FailureNotice], Any]


class CallTimeout(Exception):
    """The error handler took longer than it may."""


class ErrorCalls:
    """Calls one function, on the loop or in a thread, and says how that ended.

    `async def` runs on the loop and is cancelled at the limit. `def` runs in a thread
    of its own, which cannot be stopped: past the limit nobody waits for it any longer.

    Args:
        function: The user's.
        timeout_s: The limit of a call.
        fatal: Called when too many calls run on past their limit.
        grace_s: See `GRACE_S`.
    """

    def __init__(
        self,
        function: ErrorCallable,
        timeout_s: float,
        fatal: Callable[[str], Any],
        *,
        grace_s: float = GRACE_S,
    ) -> None:
        self._function = function
        self._timeout_s = timeout_s
        self._fatal = fatal
        self._grace_s = grace_s
        self._is_async = is_async(function)
        self._leaked: set[asyncio.Future[BaseException | None]] = set()

    async def call(self, notice: FailureNotice) -> BaseException | None:
        """Call the function once; give what left it, or None when it returned."""
        running = self._begin(notice)
        try:
            await asyncio.wait({running}, timeout=self._timeout_s)
        except asyncio.CancelledError:
            running.cancel()
            raise
        if running.done():
            return _outcome(running)
        await self._abandon(running)
        return CallTimeout(f"it took longer than {self._timeout_s:g} s")

    def _begin(self, notice: FailureNotice) -> asyncio.Future[BaseException | None]:
        if self._is_async:
            return asyncio.create_task(_guarded(self._function, notice))
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[BaseException | None] = loop.create_future()
        # No pool: its threads would be waited for when the process ends.
        threading.Thread(
            target=_run_in_thread,
            args=(self._function, notice, loop, ended),
            name="error handler",
            daemon=True,
        ).start()
        return ended

    async def _abandon(self, running: asyncio.Future[BaseException | None]) -> None:
        if self._is_async:
            running.cancel()
            await asyncio.wait({running}, timeout=self._grace_s)
        if running.done():
            return
        self._leaked.add(running)
        running.add_done_callback(self._leaked.discard)
        log.warning("the error handler runs on past its limit")
        if len(self._leaked) > MAX_LEAKED:
            self._fatal(
                f"{len(self._leaked)} calls of the error handler run on past their "
                f"limit; {MAX_LEAKED} may"
            )


def _outcome(ended: asyncio.Future[BaseException | None]) -> BaseException | None:
    if ended.cancelled():
        return asyncio.CancelledError("the error handler cancelled itself")
    return ended.result()


async def _guarded(
    function: ErrorCallable, notice: FailureNotice
) -> BaseException | None:
    """Whatever leaves the function is its failure, not this process's (as R26)."""
    try:
        await function(notice)
    except BaseException as error:  # noqa: BLE001 - SystemExit would end the loop
        return error
    return None


def _run_in_thread(
    function: ErrorCallable,
    notice: FailureNotice,
    loop: asyncio.AbstractEventLoop,
    ended: asyncio.Future[BaseException | None],
) -> None:
    outcome: BaseException | None = None
    try:
        _refuse_awaitable(function(notice))
    except BaseException as error:  # noqa: BLE001 - it is handed over
        outcome = error
    try:
        loop.call_soon_threadsafe(_tell, ended, outcome)
    except RuntimeError:  # the loop has ended before us
        log.debug("the error handler outlived its process's loop")


def _refuse_awaitable(returned: object) -> None:
    """A call that only made a coroutine has told nobody anything."""
    if inspect.iscoroutine(returned):
        returned.close()
        raise TypeError("it returned a coroutine: make it an async def")


def _tell(
    ended: asyncio.Future[BaseException | None], outcome: BaseException | None
) -> None:
    if not ended.done():
        ended.set_result(outcome)
