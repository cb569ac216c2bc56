"""A light and steady load: so many plans a second, whatever comes back."""

from __future__ import annotations

import asyncio
import time

from benchmarks.client import Client
from benchmarks.shapes import chain
from benchmarks.submissions import TERMS, Template, Terms
from benchmarks.tracking import Answer, Tracker
from benchmarks.waiting import until

SHAPE = chain(3)
TICK_S = 0.02


class Steady:
    """An open loop of ordinary plans: what stands still does not slow it down."""

    def __init__(
        self, client: Client, plans_per_s: float, terms: Terms = TERMS
    ) -> None:
        self.tracker = Tracker()
        self.latencies: list[tuple[float, float]] = []
        """When each plan that ended was sent, and how many seconds it took."""
        self._client = client
        self._plans_per_s = plans_per_s
        self._terms = terms

    async def send(self) -> None:
        """Submits plans until it is cancelled."""
        now_ms = time.time_ns() // 1_000_000
        template = Template.of(SHAPE, now_ms, terms=self._terms)
        began, sent = time.perf_counter(), 0
        while True:
            due = int((time.perf_counter() - began) * self._plans_per_s)
            made = [template.make() for _ in range(due - sent)]
            now = time.perf_counter()
            for each in made:
                self.tracker.sent(each.plan_id, each.execution_id, now)
            await self._client.send(made)
            sent = due
            await asyncio.sleep(TICK_S)

    async def receive(self) -> None:
        """Books results until it is cancelled."""
        rejected = self._client.topics.rejected.name
        while True:
            records = await self._client.receive(1.0)
            now = time.perf_counter()
            for record in records:
                headers = dict(record.headers)
                if record.topic == rejected:
                    self.tracker.rejected(headers.get("reason"))
                else:
                    ids = headers.get("execution_id"), headers.get("status")
                    self._book(Answer(record.key, *ids), now)

    async def drain(self, patience_s: float) -> None:
        """Waits until every plan has ended, and books those that do not."""
        await until(lambda: not self.tracker.waiting, patience_s)
        self.tracker.unanswered()

    def between(self, began: float, ended: float) -> list[float]:
        """Lists the latencies of the plans that were sent in this span."""
        return [took for sent, took in self.latencies if began <= sent < ended]

    def take_ended(self) -> list[float]:
        """Takes the latencies of the plans that ended since the last time.

        A long run keeps no books of plans that have ended: they would grow.
        """
        taken, self.latencies = self.latencies, []
        self.tracker.forget()
        return [took for _, took in taken]

    def _book(self, answer: Answer, now: float) -> None:
        took = self.tracker.answer(answer, now)
        if took is not None:
            self.latencies.append((now - took, took))
