"""The built-in handler of `execute_plan`: submits a child plan, and leaves (R39).

The start that names the child is acknowledged before the child is submitted, so that
no end of a child can come before its parent knows of it. The child's end is the
attempt's outcome, and comes from the coordinator; the request is finished here as soon
as the broker has the child.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from agents.context import StepContext
from agents.execution import Attempt
from agents.failures import Failure, StepUnfit
from agents.handlers import RESERVED_ACTION, Handler
from agents.nested import MAX_DEPTH, PARENT
from schemas import codec
from schemas.decode_error import DecodeError
from schemas.errors import ErrorCode
from schemas.identity import is_uuid4
from schemas.json_scan import is_object, raw_members
from schemas.opaque import dump, load
from schemas.steps import ParentReference

REQUEST_DEPTH = "depth"
"""Among a request's fields: how deep its plan is nested; absent is not at all."""
_MEMBERS = frozenset({"plan", "environment"})


@dataclass(frozen=True, slots=True)
class Child:
    """What the payload of a step says: plan and environment are JSON text."""

    plan_id: str
    plan: str
    environment: str


async def execute_plan(_step: StepContext) -> None:
    """Stands for the built-in handler, whose attempts are `ChildAttempt`s."""


NESTED = Handler(RESERVED_ACTION, execute_plan)


class ChildAttempt(Attempt):
    """An attempt that ends when its child is submitted; its outcome stays open."""

    __slots__ = ()

    async def _make(self) -> None:
        child = read_child(self.request)
        self._is_announced = True  # by what follows, and by nothing without the child
        self.begin()
        reporter = self._conditions.reporter
        start_id = reporter.secret_start_id()
        announced = reporter.started(
            self.request,
            self.started_at,
            0,
            start_id=start_id,
            child_plan_id=child.plan_id,
        )
        if not await self._is_sent(announced):
            return
        value = submission_of(child, self.request, self.started_at)
        header = (PARENT, reference_of(self.request, start_id))
        if await self._is_sent(reporter.submit(child.plan_id, value, (header,))):
            self._leave()

    async def _announce_first(self) -> bool:
        """A redelivery is announced as any start is: with the child's name."""
        return True

    def _leave(self) -> None:
        """Leaves the outcome to the child: nothing is left to be done here."""
        self.is_open = False
        self._conditions.settle(self.tickets)


def read_child(request: Mapping[str, Any]) -> Child:
    """The child plan in a request's payload.

    Raises:
        StepUnfit: The payload is none, or the child would be nested too deep.
    """
    if depth_of_child(request) > MAX_DEPTH:
        message = f"plans are nested {MAX_DEPTH} deep at most"
        raise StepUnfit(Failure.fatal(ErrorCode.RESOURCE_EXHAUSTED, message))
    members = _members(request["payload"], "the payload")
    if members.keys() != _MEMBERS:
        raise _unfit("the payload must have the members plan and environment alone")
    plan, environment = members["plan"], members["environment"]
    if not is_object(environment):
        raise _unfit("payload.environment must be an object")
    plan_id = _text(_members(plan, "payload.plan").get("id"))
    if not is_uuid4(plan_id):
        raise _unfit("payload.plan.id must be a canonical UUID, version 4")
    return Child(str(plan_id), plan, environment)


def submission_of(child: Child, request: Mapping[str, Any], now: int) -> bytes:
    """The child's submission, which carries plan and environment as they are written.

    Its deadline is the earliest of the parent's limits and the step's own; user,
    request and correlation fields are the parent's (R39).
    """
    timeout_ms = request["timeout_ms"]
    deadline_ms = request["deadline_ms"]
    if timeout_ms is not None:
        deadline_ms = min(deadline_ms, now + timeout_ms)
    members = {
        "plan": child.plan,
        "execution_id": dump(execution_id_of(child, request)),
        "started_at": dump(now),
        "deadline_ms": dump(deadline_ms),
        "environment": child.environment,
        "parent_execution_id": dump(request["execution_id"]),
        "user_id": dump(request["user_id"]),
        "request_id": dump(request["request_id"]),
        "correlation_context": dump(request["correlation_context"]),
    }
    texts = [f'"{name}":{text}' for name, text in members.items()]
    return ("{" + ",".join(texts) + "}").encode()


def execution_id_of(child: Child, request: Mapping[str, Any]) -> str:
    """The child's execution id: the same for every submission by one attempt."""
    names = (request["execution_id"], request["step_id"], request["attempt"])
    seed = " ".join([child.plan_id, *map(str, names)])
    return str(UUID(bytes=hashlib.sha256(seed.encode()).digest()[:16], version=4))


def reference_of(request: Mapping[str, Any], start_id: str) -> bytes:
    """The attempt that submits a child, for the header that says so."""
    fields = {
        "plan_id": request["plan_id"],
        "execution_id": request["execution_id"],
        "step_id": request["step_id"],
        "step_number": request["step_number"],
        "attempt": request["attempt"],
        "start_id": start_id,
        "depth": depth_of_child(request),
    }
    return codec.encode_fields(ParentReference, fields, codec.Format.JSON)


def depth_of_child(request: Mapping[str, Any]) -> int:
    """How deep a child of the requested step is nested, from 1."""
    depth: int = request.get(REQUEST_DEPTH, 0)
    return depth + 1


def _members(text: str, what: str) -> dict[str, str]:
    try:
        return raw_members(text)
    except DecodeError as error:
        raise _unfit(f"{what} is no JSON object: {error.detail}") from None


def _text(text: str | None) -> object:
    return load(text) if text is not None and text.startswith('"') else None


def _unfit(message: str) -> StepUnfit:
    return StepUnfit(Failure.fatal(ErrorCode.INVALID_PAYLOAD, message))
