"""Notices that the event loop stands still, and names the handler that blocks it."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable

log = logging.getLogger(__name__)

FROZEN_FACTOR = 1.5
"""Of the limit: when even this module's thread gets no turn, the process is ended."""

STACK_LINES = 10
"""Frames shown, the innermost: those of the handler, not of what runs the loop."""


def nobody(_: object) -> str | None:
    """Knows no task: nothing is named before there is a handler."""
    return None


class Silence:
    """How long there has been no beat, by looks that come about every period."""

    def __init__(self, period: float, now: float) -> None:
        self._period = period
        self._looked = now
        self._beats = 0
        self._silent = 0.0

    def measure(self, beats: int, now: float) -> tuple[float, float]:
        """The silence at the last look, and at this one, in seconds."""
        # Looks that come late were held up themselves: the process was stopped as a
        # whole, and no handler is to blame for that.
        passed = min(now - self._looked, 2 * self._period)
        before = self._silent
        self._silent = before + passed if beats == self._beats else 0.0
        self._beats, self._looked = beats, now
        return before, self._silent


class Watchdog:
    """A thread that expects signs of life from an event loop.

    Args:
        loop: The loop, which the caller runs on.
        warn_after: Seconds without a sign after which the handler is named.
        limit: Seconds without a sign that are fatal.
        name_of: What a task is about, if it is a handler's.
        fatal: Told that the worker cannot go on; in the watchdog's thread.
        exit_when_frozen: Whether to end the process when a handler holds the
            interpreter's lock past the limit, so that no thread gets a turn. Uses
            `faulthandler.dump_traceback_later`, of which a process has only one.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        warn_after: float,
        limit: float,
        name_of: Callable[[object], str | None],
        fatal: Callable[[str], None],
        *,
        exit_when_frozen: bool = False,
    ) -> None:
        self._loop = loop
        self._warn_after = warn_after
        self._limit = limit
        self._name_of = name_of
        self._fatal = fatal
        self._last_words = sys.__stderr__ if exit_when_frozen else None
        self._period = min(warn_after, limit) / 4
        self._beats = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="planstream-watchdog", daemon=True
        )

    def start(self) -> None:
        """Begins to watch the calling thread's loop."""
        self._loop_thread = threading.get_ident()
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Watches no more."""
        self._stopped.set()
        self._timer.cancel()
        self._thread.join()

    def _beat(self) -> None:
        self._beats += 1
        self._timer = self._loop.call_later(self._period, self._beat)

    def _watch(self) -> None:
        silence = Silence(self._period, time.monotonic())
        try:
            while not self._stopped.wait(self._period):
                self._arm()
                self._look(*silence.measure(self._beats, time.monotonic()))
        finally:
            self._disarm()

    def _look(self, before: float, silent: float) -> None:
        if before < self._warn_after <= silent:
            log.warning("%s\n%s", self._finding(silent), self._stack())
        if before < self._limit <= silent:
            self._fatal(self._finding(silent))

    def _finding(self, silent: float) -> str:
        task = asyncio.current_task(self._loop)
        name = self._name_of(task) or (task.get_name() if task else "something")
        return f"{name} has blocked the event loop for {silent:.1f} s"

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 (no other way)
        return "".join(traceback.format_stack(frame, limit=STACK_LINES))

    def _arm(self) -> None:
        if self._last_words is not None:
            faulthandler.dump_traceback_later(
                self._limit * FROZEN_FACTOR, exit=True, file=self._last_words
            )

    def _disarm(self) -> None:
        if self._last_words is not None:
            faulthandler.cancel_dump_traceback_later()
