"""One attempt of one step, while it runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from agents.alarms import Alarm
from agents.context import StepContext
from agents.environments import Environments
from agents.failures import Failure, failure_of
from agents.reporting import Reporter
from agents.scheduling import Lane, Ticket
from agents.serialization import dump_json
from schemas.errors import ErrorCode, Severity


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all attempts of a worker share.

    Attributes:
        clock: This machine's time, Unix milliseconds.
        settle: Marks requests as finished.
        call_in_child: Makes an attempt of a plain function, and returns its result.
        environments: What requests refer to that carry no environment.
        announce_after: Seconds after which a running attempt is announced.
        grace: Seconds that a cancelled handler may take to end (R30).
        slack: Seconds past its plan's deadline after which an attempt is cancelled,
            should the coordinator's halt not arrive.
        max_result_bytes: Of a result's JSON text.
        max_warnings: Of one attempt.
    """

    loop: asyncio.AbstractEventLoop
    alarm: Alarm
    reporter: Reporter
    clock: Callable[[], int]
    settle: Callable[[list[Ticket]], None]
    call_in_child: Callable[[Attempt], Coroutine[Any, Any, str]]
    environments: Environments
    announce_after: float
    grace: float
    slack: float
    max_result_bytes: int
    max_warnings: int


class Attempt:
    """An attempt's clock, its task, and the requests that its outcome answers.

    Attributes:
        request: The fields of its `StepRequest`.
        tickets: The requests that its outcome settles: its own, and repeats of it.
        followers: Requests for the same step that wait for its end (R30).
        task: What runs it.
        is_open: Its outcome is not decided yet.
        is_cut: It was cancelled by the worker: halted, timed out, superseded …
        is_leaked: It was cut, and did not end within the grace.
        due: When, by the loop's clock, something is to be done about it.
    """

    __slots__ = (
        "_began",
        "_conditions",
        "_is_announced",
        "_limit",
        "_limit_is_own",
        "_warnings",
        "due",
        "followers",
        "handler",
        "is_cut",
        "is_leaked",
        "is_open",
        "lane",
        "request",
        "started_at",
        "task",
        "tickets",
    )

    task: asyncio.Task[None]

    def __init__(self, ticket: Ticket, lane: Lane, conditions: Conditions) -> None:
        self.request = ticket.fields
        self.handler = ticket.handler
        self.lane = lane
        self.tickets = [ticket]
        self.followers: list[Ticket] = []
        self.is_open = True
        self.is_cut = False
        self.is_leaked = False
        self.started_at = conditions.clock()
        self._conditions = conditions
        self._warnings = 0
        self._is_announced = False
        self._limit_is_own = False
        self._began = conditions.loop.time()
        plan_left = (self.request["deadline_ms"] - self.started_at) / 1000
        self.due = self._limit = self._began + plan_left + conditions.slack

    @property
    def number(self) -> int:
        """Which attempt of its step this is."""
        number: int = self.request["attempt"]
        return number

    @property
    def step(self) -> tuple[str, str]:
        """Which step of which execution."""
        return self.request["execution_id"], self.request["step_id"]

    async def run(self) -> None:
        """Makes the attempt; whatever leaves the handler is its outcome (R26)."""
        if self.tickets[0].redelivered and not await self._announce_first():
            return
        try:
            await self._make()
        except BaseException as exception:  # noqa: BLE001 (SystemExit is no way out)
            if self.is_open:
                self.fail(failure_of(exception))

    def begin(self) -> None:
        """The handler starts now, and with it the attempt's own limit (R10)."""
        conditions = self._conditions
        self.started_at = conditions.clock()
        self._began = conditions.loop.time()
        timeout_ms = self.request["timeout_ms"]
        if timeout_ms is not None:
            own = self._began + timeout_ms / 1000
            self._limit_is_own = own < self._limit
            self._limit = min(own, self._limit)
        self.due = self._limit
        if not self._is_announced:
            self.due = min(self._limit, self._began + conditions.announce_after)
        conditions.alarm.by(self.due)

    def check(self, now: float) -> None:
        """Does what is due: announces a long attempt, or ends one at its limit."""
        if now < self._limit:
            self._announce()
        elif self._limit_is_own:
            self._time_out()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Ends an attempt whose outcome nobody wants any more."""
        if self.is_open:
            self._conditions.settle(self.tickets)
            self.cut()

    def cut(self) -> None:
        """Cancels the handler, and gives it the grace to end."""
        conditions = self._conditions
        self.is_open = False
        self.is_cut = True
        self.due = conditions.loop.time() + conditions.grace
        conditions.alarm.by(self.due)
        self.task.cancel()

    def give_up(self) -> None:
        """Waits for the handler no longer."""
        self.is_leaked = True
        self.due = math.inf

    def fail(self, failure: Failure) -> None:
        """Decides the outcome: the attempt failed."""
        reporter = self._conditions.reporter
        self._answer(reporter.failed(self.request, self.started_at, failure))

    def warn(self, code: str, message: str) -> None:
        """Passes a handler's warning on, while its attempt is wanted (R6)."""
        self._warnings += 1
        if self.is_open and self._warnings <= self._conditions.max_warnings:
            self._conditions.reporter.warned(self.request, code, message)

    def seconds_left(self) -> float:
        """Seconds until the step's own or the plan's limit, whichever is nearer."""
        conditions = self._conditions
        deadline_ms: int = self.request["deadline_ms"]
        plan_left: float = (deadline_ms - conditions.clock()) / 1000
        if not self._limit_is_own:
            return plan_left
        own_left: float = self._limit - conditions.loop.time()
        return min(plan_left, own_left)

    async def _make(self) -> None:
        """Runs the handler; what it returns is the outcome."""
        result = await self._call()
        if self.is_open:
            self._succeed(result)

    async def _call(self) -> str:
        if self.request["environment_at"] is not None:
            # A part of the wait for the handler: only the plan's limits hold (R10).
            environments = self._conditions.environments
            self.request["environment"] = await environments.find(self.request)
        if not self.handler.is_async:
            return await self._conditions.call_in_child(self)
        step = StepContext(self.request, self.warn, self.seconds_left)
        arguments = self.handler.arguments(step, self.request["payload"])
        self.begin()
        result = await self.handler.function(*arguments)
        return dump_json(result, self._conditions.max_result_bytes)

    def _succeed(self, result: str) -> None:
        reporter = self._conditions.reporter
        self._answer(reporter.succeeded(self.request, self.started_at, result))

    def _answer(self, delivery: asyncio.Future[Any]) -> None:
        self.is_open = False
        delivery.add_done_callback(self._delivered)

    def _delivered(self, delivery: asyncio.Future[Any]) -> None:
        if not delivery.cancelled() and delivery.exception() is None:
            self._conditions.settle(self.tickets)

    def _time_out(self) -> None:
        limit_ms = self.request["timeout_ms"]
        message = f"the attempt ran past its limit of {limit_ms} ms"
        self.fail(Failure(ErrorCode.STEP_TIMEOUT, message, Severity.ERROR))
        self.cut()

    def _announce(self) -> asyncio.Future[Any]:
        self._is_announced = True
        self.due = self._limit
        elapsed = self._conditions.loop.time() - self._began
        return self._conditions.reporter.started(
            self.request, self.started_at, int(elapsed * 1000)
        )

    async def _announce_first(self) -> bool:
        """Announces a possible redelivery, and waits until that is in the log (R29)."""
        return await self._is_sent(self._announce())

    async def _is_sent(self, delivery: asyncio.Future[Any]) -> bool:
        """Waits until something is in the log; whether the attempt then goes on."""
        try:
            # Many outcomes share one acknowledgement: an attempt that is cut while it
            # waits must not cancel those of the others.
            await asyncio.shield(delivery)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 (told as fatal)
            self.is_open = False
        return self.is_open
