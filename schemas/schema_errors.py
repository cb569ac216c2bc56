"""Puts what pydantic finds in a submission into a violation's words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.violations import Violation, ViolationClass, shortened

_RULES = {
    "dict_type": "must be an object",
    "enum": "must be {expected}",
    "extra_forbidden": "is not a field",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_type": "must be an integer",
    "less_than_equal": "must be at most {le}",
    "missing": "is required",
    "model_type": "must be an object",
    "string_pattern_mismatch": "must be a UUID version 4 in canonical form",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be a string",
    "too_long": "must have at most {max_length} items",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}
"""By the type of pydantic's error; formatted with the error's facts."""

_MAX_WORDED = 1000
"""A megabyte holds half a million faults: past so many they are only counted."""
_UNWORDED = Violation("", ViolationClass.SCHEMA, "one of too many to tell each")

_OPAQUE = frozenset({"environment", "metadata", "payload"})
_WITHOUT_VALUE = frozenset({"extra_forbidden", "missing"})


def schema_violations(error: ValidationError) -> Iterator[Violation]:
    """Yield the violations of §1 and §2 that the models find, in the fields' order."""
    details = [
        detail
        for detail in error.errors(include_url=False)
        if not _follows_from_another(detail)
    ]
    for detail in details[:_MAX_WORDED]:
        message = _rule(detail) + _found(detail)
        yield Violation(path_of(detail["loc"]), ViolationClass.SCHEMA, message)
    yield from repeat(_UNWORDED, len(details) - _MAX_WORDED)


def path_of(loc: tuple[str | int, ...]) -> str:
    """Write a place as `plan.steps[3].action`; names that go on for ever are cut."""
    parts = (
        f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" for part in loc
    )
    return "".join(parts).removeprefix(".")


def _follows_from_another(detail: ErrorDetails) -> bool:
    # pydantic counts only the valid items: a list whose items are all broken is no
    # empty list, and the items have errors of their own.
    return detail["type"] == "too_short" and bool(detail["input"])


def _rule(detail: ErrorDetails) -> str:
    rule = _RULES.get(detail["type"])
    return rule.format_map(detail.get("ctx", {})) if rule else detail["msg"]


def _found(detail: ErrorDetails) -> str:
    """Show the value found, unless it is opaque or may have opaque values in it."""
    if detail["type"] in _WITHOUT_VALUE or not _OPAQUE.isdisjoint(detail["loc"]):
        return ""
    return ", not " + _shown(detail["input"])


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, str):
        return json.dumps(shortened(value), ensure_ascii=False)
    return shortened(json.dumps(value, ensure_ascii=False, default=_type_name))


def _type_name(value: object) -> str:
    return type(value).__name__
