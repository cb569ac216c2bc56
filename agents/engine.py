"""The step worker's engine: takes requests, runs handlers, answers; knows no broker."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from agents.alarms import Alarm
from agents.environments import Environments, ReadSubmission
from agents.execution import Conditions
from agents.failures import Failure
from agents.halts import Halts
from agents.handlers import RESERVED_ACTION, Handler
from agents.processes import Children, ChildSettings
from agents.reporting import OutcomeSink, Reporter, Submit
from agents.running import Running
from agents.scheduling import Lane, Partition, Position, Ticket, Window
from agents.submitting import NESTED
from agents.watchdog import Watchdog, nobody
from schemas.errors import ErrorCode

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How much an engine takes on, and for how long; spans in seconds.

    Attributes:
        concurrency: Async handlers that run at once.
        processes: Child processes for plain functions, started when needed.
        window: Requests that are open at once; more are accepted, not asked for.
        max_result_bytes: Of a result's JSON text (R22).
        process_memory_bytes: Address space of a child process; None is unlimited.
        announce_after: An attempt that runs this long is announced.
        grace: How long a cancelled handler may take to end (R30).
        deadline_slack: How long past a plan's deadline, by this machine's clock, an
            attempt is left running when no halt comes.
        max_leaked: Handlers that swallowed their cancellation; one more is fatal.
        max_halts: Halted executions that are remembered.
        max_warnings: Warnings of one attempt; more are dropped.
        environment_bytes: Memory for environments that requests refer to.
        blocked_warn: A handler that blocks the event loop this long is named.
        blocked_limit: A handler that blocks the event loop this long is fatal.
        exit_when_frozen: Whether a handler that holds the interpreter's lock half as
            long again ends the process: `fatal` cannot be called any more.
        is_watched: Whether a thread looks out for handlers that block the loop; in
            virtual time there is nothing that it could measure.
    """

    concurrency: int = 64
    processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    window: int = 1000
    max_result_bytes: int = 256 * 1024
    process_memory_bytes: int | None = None
    announce_after: float = 0.1
    grace: float = 1.0
    deadline_slack: float = 5.0
    max_leaked: int = 16
    max_halts: int = 100_000
    max_warnings: int = 100
    environment_bytes: int = 64 * 1024 * 1024
    blocked_warn: float = 1.0
    blocked_limit: float = 30.0
    exit_when_frozen: bool = False
    is_watched: bool = True


def now_ms() -> int:
    """This machine's time, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def _nothing() -> None:
    """Nobody wants to know."""


class Load(NamedTuple):
    """What an engine has to do right now.

    Attributes:
        waiting: Requests that have not been started.
        running: Handlers that run, leaked ones included.
        leaked: Handlers that run on although they were cancelled.
        startable: Of those that wait, those that there is room for.
        started: Handlers started since the engine was.
    """

    waiting: int
    running: int
    leaked: int
    startable: int
    started: int


class Held(NamedTuple):
    """What an engine holds for an execution (U3).

    Attributes:
        attempts: Handlers that run, leaked ones included.
        slots: Requests that are not settled; those that run are among them.
    """

    attempts: int
    slots: int


class StepEngine:
    """Runs the attempts of a step worker; see `docs/architecture.md`.

    All methods are called on one event loop, the one that `start` ran on.

    Args:
        registry: The handler of each action.
        sink: Where outcomes go.
        settings: See `EngineSettings`.
        worker: This worker's name, for diagnostics.
        read: Reads the submissions whose environments requests refer to.
        fatal: Called when the worker cannot go on, with the reason, from any thread.
        on_room: Called when requests are welcome again after `room` was 0.
        submit: Where child plans go; without it `execute_plan` has no handler (R39).
        clock: Unix milliseconds.
    """

    def __init__(  # noqa: PLR0913 (a sink of its own for each thing that leaves)
        self,
        registry: Mapping[str, Handler],
        sink: OutcomeSink,
        settings: EngineSettings,
        worker: str,
        *,
        read: ReadSubmission,
        fatal: Callable[[str], None] = log.critical,
        on_room: Callable[[], None] = _nothing,
        submit: Submit | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        built_in = {} if submit is None else {RESERVED_ACTION: NESTED}
        self._registry = {**registry, **built_in}
        self._settings = settings
        self._tell_fatal = fatal
        self._name_of: Callable[[object], str | None] = nobody
        self._has_failed = False
        self._clock = clock
        self._reporter = Reporter(sink, worker, clock, self._fatal, submit)
        self._environments = Environments(read, settings.environment_bytes)
        self._window = Window(settings.window, on_room)
        self._halts = Halts(settings.max_halts)
        self._async = Lane(settings.concurrency)
        self._plain = Lane(settings.processes)
        self._is_pumping = False
        self._is_stopping = False
        self._idle = asyncio.Event()

    async def start(self) -> None:
        """Gets ready to be offered requests.

        Raises:
            HandlerError: A handler's annotations fit no payload.
        """
        for handler in self._registry.values():
            handler.prepare()
        self._loop = asyncio.get_running_loop()
        settings = self._settings
        modules = {each.module for each in self._registry.values() if not each.is_async}
        self._children = Children(
            ChildSettings(
                modules=tuple(sorted(modules)),
                memory_bytes=settings.process_memory_bytes,
                max_result_bytes=settings.max_result_bytes,
            )
        )
        conditions = Conditions(
            loop=self._loop,
            alarm=Alarm(self._loop),
            reporter=self._reporter,
            clock=self._clock,
            settle=self._settle,
            call_in_child=self._children.call,
            environments=self._environments,
            announce_after=settings.announce_after,
            grace=settings.grace,
            slack=settings.deadline_slack,
            max_result_bytes=settings.max_result_bytes,
            max_warnings=settings.max_warnings,
        )
        self._running = Running(conditions, self._requeue, self._leaked)
        self._name_of = self._running.name_of
        self._watchdog = Watchdog(
            self._loop,
            settings.blocked_warn,
            settings.blocked_limit,
            self._running.name_of,
            self._fatal,
            exit_when_frozen=settings.exit_when_frozen,
        )
        if settings.is_watched:
            self._watchdog.start()
        if modules:
            self._children.warm_up()

    def offer(
        self,
        position: Position,
        request: dict[str, Any],
        arrived: float,
        *,
        redelivered: bool,
    ) -> None:
        """Takes a request; its outcome goes to the sink.

        Args:
            position: Where it lies; offsets of a partition come in order.
            request: The fields of a `StepRequest`, which are the engine's from now on.
            arrived: When it came, in any unit: ties of priority go by this (R40).
            redelivered: It may have been started before: its start is announced, and
                that is awaited, before its handler runs (R29).
        """
        if self._is_stopping:
            return
        ticket = self._window.enter(position)
        if request["execution_id"] in self._halts:
            self._window.settle(ticket)
            return
        ticket.fields = request
        ticket.arrived = arrived
        ticket.redelivered = redelivered
        handler = self._registry.get(request["action"])
        if handler is None:
            self._refuse(ticket)
            return
        ticket.handler = handler
        self._lane_of(handler).push(ticket)
        self._pump_soon()

    def skip(
        self, position: Position, after: asyncio.Future[Any] | None = None
    ) -> None:
        """Counts a record as finished that is no request.

        Args:
            position: Where it lies; told in its order among the requests.
            after: What must succeed first, such as the sending of a dead letter; until
                then nothing behind the record is committed.
        """
        if self._is_stopping:
            return
        ticket = self._window.enter(position)
        if after is None:
            self._settle([ticket])
        else:
            after.add_done_callback(partial(self._settle_if_done, ticket))

    def name_of(self, task: object) -> str | None:
        """Whose attempt a task makes; may be asked by another thread, at any time."""
        return self._name_of(task)

    def room(self) -> int:
        """How many more requests are welcome; `on_room` tells when 0 is over."""
        return self._window.room()

    @property
    def is_full(self) -> bool:
        """Whether requests are not welcome, until `on_room` is called."""
        return self._window.was_full

    def load(self) -> Load:
        """How busy the engine is, for metrics."""
        lanes, running = (self._async, self._plain), self._running
        waiting = sum(len(lane) for lane in lanes)
        startable = sum(len(lane) for lane in lanes if lane.is_ready)
        return Load(waiting, len(running), running.leaked, startable, running.started)

    def held(self, asked_for: str) -> Held:
        """What it holds for a plan or an execution, by the id of either."""

        def is_of(request: Mapping[str, Any]) -> bool:
            return asked_for in {request.get("plan_id"), request.get("execution_id")}

        tickets = {*self._window.tickets(), *self._running.tickets()}
        return Held(
            sum(is_of(each) for each in self._running.requests()),
            sum(is_of(each.fields) for each in tickets if not each.settled),
        )

    def halt(self, *execution_ids: str) -> None:
        """Cancels executions' attempts, and drops their requests, later ones too.

        All that waits is looked through once, however many there are.
        """
        for each in execution_ids:
            self._halts.add(each)
        halted = set(execution_ids)
        self._settle(self._take_back(lambda each: each.step[0] in halted))
        self._running.halt(halted)

    def revoke(self, partitions: set[Partition]) -> None:
        """Drops the waiting requests of partitions; what runs of them is answered."""
        self._window.forget(partitions)
        for _ in self._take_back(lambda each: each.partition in partitions):
            self._window.leave()

    def committable(self) -> dict[Partition, int]:
        """The next offset to commit of each partition where it has moved.

        Everything before it is finished: answered, and the answer acknowledged.
        """
        return self._window.committable()

    async def stop(self, timeout: float) -> None:
        """Takes no more, finishes what runs in time, and cuts off the rest.

        Requests that were cut off are not answered: they will be redelivered.

        Args:
            timeout: Seconds to finish in; cutting off may take the grace more.
        """
        self._is_stopping = True
        for _ in self._take_back(lambda _each: True):
            self._window.leave()
        self._check_idle()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout)
        await self._running.cut_off()
        await self._children.close()
        if self._settings.is_watched:
            self._watchdog.stop()

    def _lane_of(self, handler: Handler) -> Lane:
        return self._async if handler.is_async else self._plain

    def _refuse(self, ticket: Ticket) -> None:
        """Answers a request that no handler is there for (R23)."""
        action = ticket.fields["action"]
        message = f"no handler is registered for the action {action!r}"
        failure = Failure.fatal(ErrorCode.ACTION_NOT_FOUND, message)
        delivery = self._reporter.failed(ticket.fields, self._clock(), failure)
        delivery.add_done_callback(partial(self._settle_if_done, ticket))

    def _settle_if_done(self, ticket: Ticket, delivery: asyncio.Future[Any]) -> None:
        if not delivery.cancelled() and delivery.exception() is None:
            self._settle([ticket])

    def _take_back(self, unwanted: Callable[[Ticket], bool]) -> list[Ticket]:
        """Takes out requests that have not been started."""
        waiting = self._async.remove(unwanted) + self._plain.remove(unwanted)
        return waiting + self._running.remove(unwanted)

    def _settle(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            self._window.settle(ticket)
        if self._is_stopping:
            self._check_idle()

    def _check_idle(self) -> None:
        if self._window.open == 0:
            self._idle.set()

    def _requeue(self, lane: Lane, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            lane.push(ticket)
        self._pump_soon()

    def _pump_soon(self) -> None:
        """Starts requests when the whole chunk is offered: its last may go first."""
        if not self._is_pumping:
            self._is_pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._is_pumping = False
        for lane in (self._async, self._plain):
            while lane.is_ready:
                self._running.take(lane.pop(), lane)

    def _fatal(self, reason: str) -> None:
        """Says once that this worker is at its end, however many things say so."""
        if not self._has_failed:
            self._has_failed = True
            self._tell_fatal(reason)

    def _leaked(self, count: int) -> None:
        limit = self._settings.max_leaked
        if count > limit:
            self._fatal(f"{count} handlers swallowed their cancellation; {limit} may")
