"""Sample records, whole and valid; tests change what they are about."""

from __future__ import annotations

from copy import deepcopy
from importlib import import_module
from pkgutil import iter_modules
from typing import Any
from uuid import UUID

import schemas
from schemas.record import Record
from schemas.validation import ViolationClass, validate


def uuid4(number: int = 0) -> str:
    """A canonical UUID version 4 that tells its number."""
    return str(UUID(f"00000000-0000-4000-8000-{number:012d}"))


PLAN_ID = uuid4(1)
EXECUTION_ID = uuid4(2)
UPPER = "ABCDEFAB-CDEF-4BCD-8BCD-ABCDEFABCDEF"
"""A UUID version 4, but not in canonical form."""
NOW = 1_700_000_000_000


def step(number: int, *depends_on: int, **changes: Any) -> dict[str, Any]:
    """The fields of a step that depends on others, by their numbers."""
    return {
        "id": uuid4(100 + number),
        "action": "charge-card",
        "payload": '{"cents": 100}',
        "depends_on": [uuid4(100 + each) for each in depends_on],
        "on_failure": "halt",
        "timeout_ms": None,
        **changes,
    }


def submission(**changes: Any) -> dict[str, Any]:
    """All fields of a valid submission of three steps in a chain."""
    fields = {
        "plan": {
            "id": PLAN_ID,
            "version": 1,
            "created_at": NOW,
            "steps": [step(0), step(1, 0), step(2, 1)],
            "name": "checkout",
            "context_requirements": ["region"],
            "priority": 0,
            "timeout_ms": 300_000,
            "retry_policy": {
                "max_attempts": 1,
                "backoff_ms": 0,
                "backoff_multiplier": 1.0,
                "max_backoff_ms": 60_000,
                "retryable_error_codes": [],
            },
            "metadata": "{}",
            "tags": [],
            "estimated_duration_ms": None,
        },
        "execution_id": EXECUTION_ID,
        "started_at": NOW,
        "deadline_ms": NOW + 600_000,
        "environment": {"region": '"eu-west-1"'},
        "parent_execution_id": None,
        "user_id": None,
        "request_id": None,
        "correlation_context": None,
    }
    return {**deepcopy(fields), **changes}


def with_plan(**changes: Any) -> dict[str, Any]:
    """A submission whose plan differs."""
    fields = submission()
    fields["plan"].update(changes)
    return fields


def with_step(**changes: Any) -> dict[str, Any]:
    """A submission whose second step differs."""
    return with_plan(steps=[step(0), step(1, **changes), step(2, 1)])


def with_policy(**changes: Any) -> dict[str, Any]:
    """A submission whose retry policy differs."""
    policy = submission()["plan"]["retry_policy"]
    return with_plan(retry_policy={**policy, **changes})


def without(fields: dict[str, Any], *path: str) -> dict[str, Any]:
    """The fields with the member at the path taken away."""
    fields = deepcopy(fields)
    inner = fields
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return fields


def reference() -> dict[str, Any]:
    """Which attempt an outcome speaks of."""
    return {
        "plan_id": PLAN_ID,
        "execution_id": EXECUTION_ID,
        "step_id": uuid4(100),
        "step_number": 0,
        "attempt": 1,
    }


def submission_reference() -> dict[str, Any]:
    """Where a submission lies."""
    return {"partition": 3, "offset": 70_000}


def step_request() -> dict[str, Any]:
    """All fields of a step request."""
    return {
        **reference(),
        "action": "charge-card",
        "payload": '{"cents": 100}',
        "environment": {"region": '"eu-west-1"'},
        "timeout_ms": None,
        "deadline_ms": NOW + 300_000,
        "priority": 5,
        "requested_at": NOW,
        "user_id": "ada",
        "request_id": None,
        "correlation_context": {"trace": "abc"},
        "environment_at": None,
    }


def step_succeeded() -> dict[str, Any]:
    """All fields of an outcome."""
    return {
        **reference(),
        "worker": "worker-1",
        "started_at": NOW,
        "ended_at": NOW + 3,
        "result": '{"receipt":1.0e2}',
    }


def error(**changes: Any) -> dict[str, Any]:
    """All fields of an execution error."""
    return {
        "error_code": "CARD_DECLINED",
        "message": "the issuer said no",
        "step_id": uuid4(100),
        "severity": "error",
        "recoverable": True,
        "cause": None,
        "context": '{"attempt":1}',
        **changes,
    }


def nested_error(depth: int) -> dict[str, Any]:
    """An error with so many errors in its chain, itself included."""
    chain = error()
    for _ in range(depth - 1):
        chain = error(cause=chain)
    return chain


def models() -> list[type[Record]]:
    """Every model that stands for a record of its own, or is part of one."""
    for module in iter_modules(schemas.__path__):
        import_module(f"schemas.{module.name}")
    found: list[type[Record]] = []
    todo: list[type[Record]] = [Record]
    while todo:
        kinds = todo.pop().__subclasses__()
        todo.extend(kinds)
        found.extend(kind for kind in kinds if kind.__module__.startswith("schemas."))
    return sorted(found, key=lambda kind: kind.__name__)


def found(fields: dict[str, Any]) -> list[tuple[str, ViolationClass]]:
    """Where a submission breaks rules, and of which class they are."""
    model, violations = validate(fields)
    assert (model is None) == bool(violations)
    return [(each.path, each.class_) for each in violations]
