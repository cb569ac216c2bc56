"""JSON Schemas of record headers: their values are bytes, described here as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from schemas.json_schema import DRAFT
from schemas.record import UUID4_PATTERN
from schemas.results import Status

Schema = dict[str, Any]

_NUMBER: Schema = {"type": "string", "pattern": "^(-1|[0-9]+)$"}
_TEXT: Schema = {"type": "string"}


def _headers(title: str, required: Mapping[str, Schema], **more: Any) -> Schema:
    return {
        "$schema": DRAFT,
        "title": title,
        "type": "object",
        "properties": dict(required),
        "required": list(required),
        **more,
    }


def result_headers() -> Schema:
    """Those of a result (R41); a correlation context adds members of its own."""
    ids = {"type": "string", "pattern": UUID4_PATTERN}
    status = {"type": "string", "enum": [each.value for each in Status]}
    return _headers(
        "Result headers",
        {"execution_id": ids, "status": status},
        additionalProperties=_TEXT,
        description="Also each entry of the submission's correlation_context.",
    )


def letter_headers(reasons: Iterable[str], **optional: Schema) -> Schema:
    """Those of a dead letter (R38), behind the ones that the record came with.

    Args:
        reasons: why it may be one.
        optional: what some dead letters have besides.
    """
    reason = {"type": "string", "enum": list(reasons)}
    made = _headers(
        "Dead letter headers",
        {"reason": reason, **_SOURCE},
        description="They are the last ones; those received stand before them.",
    )
    made["properties"].update(
        {name.replace("_", "-"): schema for name, schema in optional.items()}
    )
    return made


_SOURCE: Mapping[str, Schema] = MappingProxyType(
    {
        "reason-detail": {**_TEXT, "description": "For people."},
        "source-topic": _TEXT,
        "source-partition": _NUMBER,
        "source-offset": _NUMBER,
        "source-timestamp": {**_NUMBER, "description": "Unix milliseconds."},
    }
)
