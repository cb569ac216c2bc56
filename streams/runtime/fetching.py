"""Hands fetched records over before it asks for more.

aiokafka asks the broker for more as soon as records are taken, before anything is done
about them. Whoever waits for what comes of them waits for that request, too: with one
plan under way an eighth of the plan's whole time.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher

HEAD_START = 16
"""Turns of the loop until more is asked for. A record needs a dozen from its arrival to
what is sent because of it."""
HEAD_START_S = 0.002
"""How long they may take. Where one alone takes longer, others have more to do."""


class PromptFetcher(Fetcher):
    """Gives records to who waits for them at once, and a head start to what they do."""

    _ahead = 0
    """Fetches that have handed over and still count as under way."""

    async def _proc_fetch_request(
        self, assignment: Any, node_id: int, request: Any
    ) -> bool:
        if not await super()._proc_fetch_request(assignment, node_id, request):
            return False
        for waiter in self._fetch_waiters:
            self._notify(waiter)
        self._ahead += 1
        # As below it: closed, or unassigned. What was fetched is no use any more.
        with suppress(asyncio.CancelledError):
            await _head_start()
        self._ahead -= 1
        return False  # nobody is left to be woken

    def _notify(self, future: asyncio.Future[None] | None) -> None:
        # Fetches are planned again when the head start is over.
        if self._ahead and future is self._wait_consume_future:
            return
        super()._notify(future)


async def _head_start() -> None:
    until = time.monotonic() + HEAD_START_S
    for _ in range(HEAD_START):
        await asyncio.sleep(0)
        if time.monotonic() > until:
            return


def hand_over_first(consumer: AIOKafkaConsumer) -> None:
    """Make a consumer that has been started prompt; it fetches the same records."""
    consumer._fetcher.__class__ = PromptFetcher
