"""A lane finishes the records of one partition, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from streams.runtime.exits import spawn

FULL = 100
"""Records that wait in a lane, from which on no more are fetched for it."""

Finish = Callable[[Any], Awaitable[None]]


class LaneClosed(Exception):
    """Raised by what finishes records, when it was told to leave one unfinished."""


class Lane:
    """The records of one partition that wait, and how far they are finished.

    Args:
        name: Of the partition, for people.
        position: The offset of the first record to come.
        finish: Returns when a record is finished; raises `LaneClosed` to leave it.
        on_room: Called when a full lane has room again.
    """

    def __init__(
        self, name: str, position: int, finish: Finish, on_room: Callable[[], None]
    ) -> None:
        self.taken = position
        """The next offset to be taken."""
        self.finished = position
        """The offset up to which everything is finished."""
        self._finish = finish
        self._on_room = on_room
        self._waiting: deque[Any] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._task = spawn(f"the lane of {name}", self._run())

    @property
    def is_full(self) -> bool:
        """Whether no more records are wanted for now."""
        return len(self._waiting) >= FULL

    def take(self, records: Sequence[Any]) -> None:
        """Queue consecutive records; those that were taken before are passed over."""
        new = [record for record in records if record.offset >= self.taken]
        if new:
            self._waiting.extend(new)
            self.taken = new[-1].offset + 1
            self._wake.set()

    async def close(self, timeout_s: float) -> None:
        """Take up no further record; leave the present one at the limit."""
        self._closing = True
        self._wake.set()
        await asyncio.wait({self._task}, timeout=timeout_s)
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        while not self._closing:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                await self._finish(self._waiting[0])
            except LaneClosed:
                return
            self._step()

    def _step(self) -> None:
        was_full = self.is_full
        self.finished = self._waiting.popleft().offset + 1
        if was_full and not self.is_full:
            self._on_room()
