"""The attempts that run now: one at a time for each step, none past its limit."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial
from typing import Any

from agents.execution import Attempt, Conditions
from agents.scheduling import Lane, Step, Ticket
from agents.submitting import NESTED, ChildAttempt

log = logging.getLogger(__name__)


class Running:
    """Starts attempts, and watches over them until they have ended.

    Args:
        conditions: What all attempts share.
        on_end: Told of the requests that may have their turn now, whenever an attempt
            has ended or is waited for no longer.
        on_leak: Told how many handlers run on although they were cancelled.
    """

    def __init__(
        self,
        conditions: Conditions,
        on_end: Callable[[Lane, list[Ticket]], None],
        on_leak: Callable[[int], None],
    ) -> None:
        self._conditions = conditions
        self._on_end = on_end
        self._on_leak = on_leak
        self._attempts: dict[Attempt, None] = {}
        self._current: dict[Step, Attempt] = {}
        self.leaked = 0
        self.started = 0
        conditions.alarm.on_ring(self._look_round)

    def __len__(self) -> int:
        return len(self._attempts)

    def name_of(self, task: object) -> str | None:
        """Whose attempt a task makes; may be asked by another thread."""
        for attempt in tuple(self._attempts):
            if attempt.task is task:
                plan, step = attempt.request["plan_id"], attempt.request["step_id"]
                return f"handler {attempt.handler.place} (plan {plan}, step {step})"
        return None

    def requests(self) -> Iterator[Mapping[str, Any]]:
        """The requests of the attempts that run, leaked ones included."""
        return (attempt.request for attempt in self._attempts)

    def tickets(self) -> Iterator[Ticket]:
        """The requests that attempts answer, or that wait for the end of one."""
        for attempt in self._attempts:
            yield from (*attempt.tickets, *attempt.followers)

    def take(self, ticket: Ticket, lane: Lane) -> None:
        """Starts an attempt, unless the same step has one already (R30)."""
        current = self._current.get(ticket.step)
        if current is None:
            self._start(ticket, lane)
        elif ticket.number < current.number:
            # Asked for after a later attempt: by a coordinator that knows nothing of
            # that one, as what asked for it was never committed. It waits for this one.
            current.followers.append(ticket)
        elif ticket.number == current.number and current.is_open:
            current.tickets.append(ticket)
        else:
            current.followers.append(ticket)
            current.abandon()

    def halt(self, execution_ids: Set[str]) -> None:
        """Cancels the attempts of executions."""
        for attempt in tuple(self._attempts):
            if attempt.step[0] in execution_ids:
                followers, attempt.followers = attempt.followers, []
                self._conditions.settle(followers)
                attempt.abandon()

    def remove(self, unwanted: Callable[[Ticket], bool]) -> list[Ticket]:
        """Takes out requests that wait for the end of an attempt."""
        removed: list[Ticket] = []
        for attempt in self._attempts:
            removed += filter(unwanted, attempt.followers)
            attempt.followers = [
                each for each in attempt.followers if not unwanted(each)
            ]
        return removed

    async def cut_off(self) -> None:
        """Cancels what runs, unanswered; waits for its end as long as the grace is."""
        tasks = [attempt.task for attempt in self._attempts]
        for attempt in self._attempts:
            attempt.cut()
        if tasks:
            await asyncio.wait(tasks, timeout=self._conditions.grace)
        self._conditions.alarm.stop()

    def _start(self, ticket: Ticket, lane: Lane) -> None:
        make = ChildAttempt if ticket.handler is NESTED else Attempt
        attempt = make(ticket, lane, self._conditions)
        if attempt.due <= self._conditions.loop.time():
            # Its plan has ended long ago, and the halt did not come by here.
            self._conditions.settle([ticket])
            return
        self._attempts[attempt] = None
        self._current[ticket.step] = attempt
        lane.running += 1
        self.started += 1
        attempt.task = self._conditions.loop.create_task(attempt.run())
        attempt.task.add_done_callback(partial(self._ended, attempt))
        self._conditions.alarm.by(attempt.due)

    def _look_round(self, now: float) -> float:
        """Does what is due; returns when there will be more."""
        for attempt in tuple(self._attempts):
            if attempt.due > now:
                continue
            if attempt.is_cut:
                self._leak(attempt)
            else:
                attempt.check(now)
        return min((attempt.due for attempt in self._attempts), default=math.inf)

    def _ended(self, attempt: Attempt, _task: asyncio.Task[None]) -> None:
        del self._attempts[attempt]
        if attempt.is_leaked:
            self.leaked -= 1
        else:
            self._release(attempt)

    def _leak(self, attempt: Attempt) -> None:
        """Goes on without a handler that does not end when it is cancelled (R30)."""
        attempt.give_up()
        self.leaked += 1
        log.warning("handler %s swallowed its cancellation", attempt.handler.place)
        self._release(attempt)
        self._on_leak(self.leaked)

    def _release(self, attempt: Attempt) -> None:
        """Frees the attempt's place; requests that waited for it have their turn."""
        del self._current[attempt.step]
        attempt.lane.running -= 1
        followers, attempt.followers = attempt.followers, []
        self._on_end(attempt.lane, followers)
