"""Submissions by the thousand: encoded once, then given new ids."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from benchmarks.peers.plans import PAYLOAD, STEP_ATTEMPTS, STEP_TIMEOUT_S
from benchmarks.shapes import Shape
from schemas.codec import Format, encode_fields
from schemas.context import PlanSubmission

LIFETIME_MS = 3_600_000
"""From a template's making to the deadline of its plans: longer than any scenario."""
TIMEOUT_MS = 300_000


@dataclass(frozen=True)
class Terms:
    """What the plans of a template ask for, and how long they may take."""

    action: str = "echo"
    payload: str = json.dumps(PAYLOAD, separators=(",", ":"))
    """Of every step."""
    attempts: int = STEP_ATTEMPTS
    step_timeout_ms: int | None = 1000 * STEP_TIMEOUT_S
    timeout_ms: int = TIMEOUT_MS
    lifetime_ms: int = LIFETIME_MS
    environment: Mapping[str, str] = field(default_factory=dict)
    """Its values are JSON texts."""
    tags: Sequence[str] = ()


TERMS = Terms()
"""What all engines are asked for (`benchmarks.peers`)."""

_VARIANT = "89ab" * 4
"""A UUID's variant digit, for each hexadecimal digit."""


class Submission(NamedTuple):
    """A submission, as the producer wants it."""

    plan_id: bytes
    execution_id: bytes
    value: bytes


def fresh_ids(count: int) -> list[bytes]:
    """Makes version 4 UUIDs, several times faster than `uuid.uuid4` does."""
    digits = os.urandom(16 * count).hex()
    each_digits = (digits[at : at + 32] for at in range(0, 32 * count, 32))
    return [_canonical(each).encode() for each in each_digits]


def _canonical(d: str) -> str:
    variant = _VARIANT[int(d[16], 16)]
    return f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{variant}{d[17:20]}-{d[20:]}"


@dataclass(frozen=True)
class Template:
    """An encoded submission with a gap for each id.

    All ids are 36 bytes long, so that neither Avro's lengths nor JSON notice new ones.
    A load generator that encodes each submission anew would measure itself.
    """

    pieces: tuple[bytes, ...]
    """The encoded bytes before, between and after the ids."""
    gaps: tuple[int, ...]
    """Which id goes into which gap; 0 is the plan's, 1 the execution's."""
    steps: int
    """How many steps a plan has."""

    @classmethod
    def of(
        cls,
        shape: Shape,
        now_ms: int,
        fmt: Format = Format.AVRO,
        terms: Terms = TERMS,
    ) -> Self:
        """Encodes a submission of a shape, and cuts its ids out."""
        ids = fresh_ids(shape.steps + 2)
        fields = _fields(shape, ids, now_ms, terms)
        value = encode_fields(PlanSubmission, fields, fmt)
        parts = re.split(b"(" + b"|".join(ids) + b")", value)
        place = {each: number for number, each in enumerate(ids)}
        gaps = tuple(place[each] for each in parts[1::2])
        return cls(tuple(parts[::2]), gaps, shape.steps)

    def make(self) -> Submission:
        """Makes a submission that differs from all others in all its ids."""
        ids = fresh_ids(self.steps + 2)
        parts: list[bytes] = [b""] * (2 * len(self.gaps) + 1)
        parts[::2] = self.pieces
        parts[1::2] = [ids[gap] for gap in self.gaps]
        return Submission(ids[0], ids[1], b"".join(parts))


def _fields(
    shape: Shape, ids: list[bytes], now_ms: int, terms: Terms
) -> dict[str, Any]:
    plan_id, execution_id, *step_ids = [each.decode() for each in ids]
    plan = {
        "id": plan_id,
        "version": 1,
        "created_at": now_ms,
        "steps": [
            _step(step_id, [step_ids[place] for place in places], terms)
            for step_id, places in zip(step_ids, shape.depends_on, strict=True)
        ],
        "name": shape.name,
        "context_requirements": ["benchmark"],
        "priority": 0,
        "timeout_ms": terms.timeout_ms,
        "retry_policy": {
            "max_attempts": terms.attempts,
            "backoff_ms": 0,
            "backoff_multiplier": 1.0,
            "max_backoff_ms": 60_000,
            "retryable_error_codes": [],
        },
        "metadata": "{}",
        "tags": list(terms.tags),
        "estimated_duration_ms": None,
    }
    return {
        "plan": plan,
        "execution_id": execution_id,
        "started_at": now_ms,
        "deadline_ms": now_ms + terms.lifetime_ms,
        "environment": {"benchmark": f'"{shape.name}"', **terms.environment},
        "parent_execution_id": None,
        "user_id": None,
        "request_id": None,
        "correlation_context": None,
    }


def _step(step_id: str, depends_on: list[str], terms: Terms) -> dict[str, Any]:
    return {
        "id": step_id,
        "action": terms.action,
        "payload": terms.payload,
        "depends_on": depends_on,
        "on_failure": "halt",
        "timeout_ms": terms.step_timeout_ms,
    }
