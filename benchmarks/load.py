"""A closed loop: a plan that ends makes room for the next one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from benchmarks.figures import Figures, Window
from benchmarks.presenting import NothingMeasured
from benchmarks.processes import Usage
from benchmarks.scenarios import Scenario
from benchmarks.shapes import Shape
from benchmarks.submissions import TERMS, Submission, Template, Terms
from benchmarks.tracking import Answer, Tracker
from schemas.codec import DecodeError, decode_fields
from schemas.results import PlanResult

LOOK_INSIDE_EVERY = 64
"""One result in so many is decoded and checked; the others are only counted."""
LINGER_S = 1.0
"""How long a second result of a plan is waited for at the end."""


class Stuck(NothingMeasured):
    """Plans are under way, and nothing has come back for too long."""

    def __init__(self, waiting: int, patience_s: float) -> None:
        self.waiting = waiting
        self.patience_s = patience_s
        super().__init__(f"{waiting} plans without a result for {patience_s:g} s")


class Client(Protocol):
    """What sends submissions and receives what comes of them."""

    async def send(self, submissions: list[Submission]) -> None:
        """Hands submissions over."""

    async def receive(self, timeout_s: float) -> list[Any]:
        """Waits for records of the results topics, and of the dead letters'."""
        ...


class Load:
    """Keeps so many plans in flight, and measures what comes back."""

    def __init__(
        self,
        client: Client,
        rejected: str,
        usages: Callable[[], dict[str, Usage]],
        check: Callable[[], None],
        patience_s: float,
    ) -> None:
        """Takes what it works with.

        Args:
            client: The connection to Kafka.
            rejected: The name of the dead letters' topic.
            usages: Measures the processes.
            check: Raises when a process has died.
            patience_s: How long nothing may come back while plans are in flight.
        """
        self.client = client
        self.rejected = rejected
        self.usages = usages
        self.check = check
        self.patience_s = patience_s
        self.tracker = Tracker()
        self._received = 0
        self._last = 0.0

    async def measure(self, scenario: Scenario, terms: Terms = TERMS) -> Figures:
        """Runs a scenario: warm-up, the window that counts, and what is left over.

        Raises:
            Stuck: plans do not end.
        """
        pace, shape = scenario.pace, scenario.shape
        template = Template.of(shape, time.time_ns() // 1_000_000, terms=terms)
        await self._submit(template, scenario.in_flight)
        await self._keep_up(template, pace.warm_up_s)
        before, began = self.usages(), time.perf_counter()
        latencies = await self._keep_up(template, pace.duration_s, at_least=1)
        ended, after = time.perf_counter(), self.usages()
        await self._drain(shape)
        window = Window(began, ended, latencies, before, after)
        return Figures.of(shape.name, scenario.in_flight, shape.steps, window)

    async def one_by_one(
        self, shape: Shape, terms: Terms, seconds: float, at_least: int
    ) -> Figures:
        """Runs whole plans alone: nothing is in flight at either end of the window.

        Raises:
            Stuck: a plan does not end.
        """
        template = Template.of(shape, time.time_ns() // 1_000_000, terms=terms)
        latencies: list[float] = []
        before, began = self.usages(), time.perf_counter()
        while len(latencies) < at_least or time.perf_counter() < began + seconds:
            await self._submit(template, 1)
            while self.tracker.waiting:
                latencies += await self._receive(shape.steps)
        ended, after = time.perf_counter(), self.usages()
        window = Window(began, ended, latencies, before, after)
        return Figures.of(shape.name, 1, shape.steps, window)

    async def settle(self, shape: Shape, in_flight: int, seconds: float) -> None:
        """Keeps the system busy without measuring it."""
        template = Template.of(shape, now_ms=time.time_ns() // 1_000_000)
        await self._submit(template, in_flight)
        await self._keep_up(template, seconds)
        await self._drain(shape)

    async def finish(self, linger_s: float = LINGER_S) -> None:
        """Waits for what should not come, and closes the books."""
        until = time.perf_counter() + linger_s
        while (left := until - time.perf_counter()) > 0:
            self._book(await self.client.receive(left), time.perf_counter(), 0)
        self.tracker.unanswered()

    async def _keep_up(
        self, template: Template, seconds: float, at_least: int = 0
    ) -> list[float]:
        """Replaces each plan that ends, and returns the latencies of those."""
        until = time.perf_counter() + seconds
        latencies: list[float] = []
        while time.perf_counter() < until or len(latencies) < at_least:
            ended = await self._receive(template.steps)
            latencies += ended
            await self._submit(template, len(ended))
        return latencies

    async def _drain(self, shape: Shape) -> None:
        while self.tracker.waiting:
            await self._receive(shape.steps)

    async def _submit(self, template: Template, count: int) -> None:
        if count == 0:
            return
        submissions = [template.make() for _ in range(count)]
        now = self._last = time.perf_counter()
        for each in submissions:
            self.tracker.sent(each.plan_id, each.execution_id, now)
        await self.client.send(submissions)

    async def _receive(self, steps: int) -> list[float]:
        """Waits up to a second for results, and no longer than the patience lasts."""
        records = await self.client.receive(1.0)
        self.check()
        now = time.perf_counter()
        if records:
            self._last = now
        elif now - self._last > self.patience_s:
            raise Stuck(len(self.tracker.waiting), self.patience_s)
        return self._book(records, now, steps)

    def _book(self, records: Iterable[Any], now: float, steps: int) -> list[float]:
        booked = (self._book_one(record, now, steps) for record in records)
        return [latency for latency in booked if latency is not None]

    def _book_one(self, record: Any, now: float, steps: int) -> float | None:
        headers = dict(record.headers)
        if record.topic == self.rejected:
            self.tracker.rejected(headers.get("reason"))
            return None
        execution_id, status = headers.get("execution_id"), headers.get("status")
        latency = self.tracker.answer(Answer(record.key, execution_id, status), now)
        self._received += 1
        if latency is not None and self._received % LOOK_INSIDE_EVERY == 0:
            self._look_inside(record, steps)
        return latency

    def _look_inside(self, record: Any, steps: int) -> None:
        problem = inspect(record.value, record.key, steps)
        if problem is not None:
            self.tracker.incorrect(problem)


def inspect(value: bytes, plan_id: bytes, steps: int) -> str | None:
    """Says what is wrong with a successful result, if anything is (§3, R3)."""
    try:
        _, fields = decode_fields(value, PlanResult)
    except DecodeError:
        return "result that cannot be read"
    if fields["plan_id"].encode() != plan_id:
        return "result of another plan than its key's"
    if fields["status"] != "success" or fields["error"] is not None:
        return "result whose value is no success"
    counts = (fields["steps_executed"], len(fields["result_payload"]))
    if counts != (steps, steps) or fields["steps_total"] != steps:
        return "result with wrong counts"
    return None
