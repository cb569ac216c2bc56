"""Finds the two ids of a submission, without which it cannot be answered (R38)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.codec import DecodeError, decode_fields, is_avro
from schemas.context import PlanSubmission
from schemas.json_tokens import find_strings
from schemas.record import UUID4_PATTERN

_is_uuid4 = re.compile(UUID4_PATTERN).fullmatch
_PLAN_ID = ("plan", "id")
_EXECUTION_ID = ("execution_id",)


class Ids(NamedTuple):
    """What identifies an execution, both canonical UUIDs version 4."""

    plan_id: str
    execution_id: str


def is_uuid4(value: object) -> bool:
    """Whether the value is a canonical UUID version 4 (R34)."""
    return isinstance(value, str) and _is_uuid4(value) is not None


def identify(fields: Mapping[str, Any]) -> Ids | None:
    """Take the ids from a submission's fields; None unless both are valid."""
    plan = fields.get("plan")
    plan_id = plan.get("id") if isinstance(plan, Mapping) else None
    return _ids(plan_id, fields.get("execution_id"))


def peek_ids(data: bytes | None) -> Ids | None:
    """Look for the ids in a record that is too large or too deep to be decoded.

    JSON is searched token by token, whatever its depth and wherever it breaks off.
    """
    if not data:
        return None
    if is_avro(data):
        return _peek_avro(data)
    found = find_strings(data.decode(errors="replace"), _PLAN_ID, _EXECUTION_ID)
    return _ids(found.get(_PLAN_ID), found.get(_EXECUTION_ID))


def _peek_avro(data: bytes) -> Ids | None:
    try:
        _, fields = decode_fields(data, PlanSubmission)
    except DecodeError:
        return None
    return identify(fields)


def _ids(plan_id: object, execution_id: object) -> Ids | None:
    if not (is_uuid4(plan_id) and is_uuid4(execution_id)):
        return None
    return Ids(str(plan_id), str(execution_id))
