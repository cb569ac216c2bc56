"""What a step worker tells the coordinator about its attempts."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from itertools import count
from typing import Any, ParamSpec, Protocol

from agents.effects import Headers
from agents.failures import Failure
from schemas.errors import cut_message
from schemas.record import Record
from schemas.steps import StepFailed, StepStarted, StepSucceeded, StepWarned

log = logging.getLogger(__name__)

Fields = dict[str, Any]
Submit = Callable[[str, bytes, Headers], asyncio.Future[Any]]
"""Sends a child's submission, by plan id; done when it is in the log (R39)."""
Fatal = Callable[[str], None]
P = ParamSpec("P")


class OutcomeSink(Protocol):
    """Where outcomes go: the outcomes topic, or a list in a test."""

    def send(
        self, plan_id: str, model: type[Record], fields: Fields
    ) -> asyncio.Future[Any]:
        """Sends a record; done when it is in the log, failed when it never will be."""
        ...


class Reporter:
    """Makes outcome records, and watches over their delivery.

    A record that cannot be delivered is fatal for the worker: its request stays open,
    and will be redelivered to whoever comes after.
    """

    def __init__(
        self,
        sink: OutcomeSink,
        worker: str,
        clock: Callable[[], int],
        fatal: Fatal,
        submit: Submit | None = None,
    ) -> None:
        self._sink = sink
        self._submit = submit
        self._worker = worker
        self._clock = clock
        self._fatal = fatal
        # A restarted worker has the same name: its start ids must differ (R29).
        self._boot = f"{worker}:{secrets.token_hex(4)}"
        self._starts = count(1)

    def started(
        self,
        request: Fields,
        started_at: int,
        elapsed_ms: int,
        *,
        start_id: str | None = None,
        child_plan_id: str | None = None,
    ) -> asyncio.Future[Any]:
        """Announces that an attempt runs (R29), and which child it runs (R39)."""
        fields = _reference(request)
        fields["worker"] = self._worker
        fields["start_id"] = start_id or self._start_id()
        fields["started_at"] = started_at
        fields["elapsed_ms"] = elapsed_ms
        fields["child_plan_id"] = child_plan_id
        return self._send(StepStarted, fields)

    def secret_start_id(self) -> str:
        """A start id that nobody can guess: it proves whose child a plan is (R39)."""
        return f"{self._start_id()}:{secrets.token_hex(16)}"

    def submit(
        self, plan_id: str, value: bytes, headers: Headers
    ) -> asyncio.Future[Any]:
        """Submits a child plan; that it cannot be sent is fatal, as for outcomes."""
        if self._submit is None:
            raise RuntimeError("this worker submits no plans")
        return self._watched(self._submit, plan_id, value, headers)

    def succeeded(
        self, request: Fields, started_at: int, result: str
    ) -> asyncio.Future[Any]:
        """Answers a request whose handler returned."""
        fields = _reference(request)
        fields["worker"] = self._worker
        fields["started_at"] = started_at
        fields["ended_at"] = self._clock()
        fields["result"] = result
        return self._send(StepSucceeded, fields)

    def failed(
        self, request: Fields, started_at: int, failure: Failure
    ) -> asyncio.Future[Any]:
        """Answers a request whose attempt failed, with its diagnostics (R21)."""
        fields = _reference(request)
        ended_at = self._clock()
        known = failure.with_context(
            attempt=request["attempt"],
            worker=self._worker,
            started_at=started_at,
            ended_at=ended_at,
        )
        fields["worker"] = self._worker
        fields["started_at"] = started_at
        fields["ended_at"] = ended_at
        fields["error"] = known.error(request["step_id"])
        return self._send(StepFailed, fields)

    def warned(self, request: Fields, code: str, message: str) -> None:
        """Passes on what a handler found worth a warning (R6)."""
        fields = _reference(request)
        fields["code"] = code
        fields["message"] = cut_message(message)
        fields["at"] = self._clock()
        self._send(StepWarned, fields)

    def _start_id(self) -> str:
        return f"{self._boot}:{next(self._starts)}"

    def _send(self, model: type[Record], fields: Fields) -> asyncio.Future[Any]:
        return self._watched(self._sink.send, fields["plan_id"], model, fields)

    def _watched(
        self, send: Callable[P, asyncio.Future[Any]], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[Any]:
        try:
            future = send(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 (a full disk, a bug in the codec …)
            future = asyncio.get_running_loop().create_future()
            future.set_exception(error)
        future.add_done_callback(self._check)
        return future

    def _check(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self._fatal("an outcome was not delivered: its sending was cancelled")
        elif error := future.exception():
            self._fatal(f"an outcome cannot be delivered: {error!r}")


def _reference(request: Fields) -> Fields:
    return {
        "plan_id": request["plan_id"],
        "execution_id": request["execution_id"],
        "step_id": request["step_id"],
        "step_number": request["step_number"],
        "attempt": request["attempt"],
    }
