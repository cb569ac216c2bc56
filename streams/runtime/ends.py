"""Knows where logs end, and for how long no broker has said so."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from faust.types import TP

logger = logging.getLogger("planstream.health")

ASK_EVERY_S = 1.0
ASK_WITHIN_S = 30.0
Ask = Callable[[list[TP]], Awaitable[Mapping[TP, int]]]


class Ends:
    """Asks one client, again and again, where logs end.

    Args:
        ask: asks the client.
        sources: which logs; an empty list is not asked for.
    """

    def __init__(self, ask: Ask, sources: Callable[[], list[TP]]) -> None:
        self._ask = ask
        self._sources = sources
        self._answered = time.monotonic()
        self.known: Mapping[TP, int] = {}

    @property
    def silent_s(self) -> float:
        """How long ago the last answer came."""
        return time.monotonic() - self._answered

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self._ask_once()
            await asyncio.sleep(ASK_EVERY_S)

    async def _ask_once(self) -> None:
        if not (sources := self._sources()):
            self._answered = time.monotonic()
            return
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                self.known = await self._ask(sources)
        except Exception as exc:  # noqa: BLE001 - no answer is what is to be known
            logger.debug("where logs end is not known: %r", exc)
        else:
            self._answered = time.monotonic()
