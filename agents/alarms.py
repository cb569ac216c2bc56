"""One timer for all running attempts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

PAUSE = 0.005
"""Seconds between two rings at least: a ring looks at every running attempt."""

ROUNDING = 0.001
"""Seconds: uvloop's clock shows whole milliseconds, and no limit may fire early."""


class Alarm:
    """Rings when the earliest of many instants has come.

    A timer for each attempt would cost more than the rest of a short attempt.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ring: Callable[[float], float] = lambda _now: math.inf
        self._at = math.inf
        self._rung = -math.inf
        self._handle: asyncio.TimerHandle | None = None

    def on_ring(self, ring: Callable[[float], float]) -> None:
        """Sets what does the work due at an instant, and says when to ring next."""
        self._ring = ring

    def by(self, instant: float) -> None:
        """Sees to it that the alarm rings at an instant, or before."""
        if instant < self._at:
            self.stop()
            self._at = instant
            when = max(instant + ROUNDING, self._rung + PAUSE)
            self._handle = self._loop.call_at(when, self._go_off)

    def stop(self) -> None:
        """Rings no more, until told to."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self._at = math.inf

    def _go_off(self) -> None:
        self.stop()
        self._rung = self._loop.time()
        self.by(self._ring(self._rung))
