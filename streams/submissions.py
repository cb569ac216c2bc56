"""Completes what people write into whole submissions: ids, times, names of steps."""

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from json.encoder import encode_basestring as quoted
from typing import Any, TypedDict, Unpack

from schemas.codec import to_json
from schemas.json_scan import array_reader, raw, raw_members, read_whole
from schemas.opaque import dump, load
from schemas.plan import Plan

DEADLINE_MARGIN_MS = 60_000
"""How much later than the plan's timeout its deadline is set, when nobody says.

The timeout runs from admission, the deadline from the submission (R10): this is how
long a plan may wait in its topic before its deadline is what ends it."""

_STEP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,34}")
"""A name for a step; shorter than any UUID, so that a misspelt UUID is none."""
_DEFAULT_TIMEOUT_MS: int = Plan.model_fields["timeout_ms"].default


def now_ms() -> int:
    """The time, as contracts have it: Unix milliseconds."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """Make a canonical UUID version 4."""
    return str(uuid.uuid4())


def step_id(plan_id: str, name: str) -> str:
    """Derive the id of a step from its plan's id and its name.

    Derived and not drawn, so that whoever knows the plan's id and the name finds the
    step's result: `result.result_payload[step_id(plan_id, "charge")]`.
    """
    digest = blake2b(f"{plan_id}/{name}".encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))


class Members(TypedDict, total=False):
    """The members of a submission beside plan and environment (§2)."""

    execution_id: str | None
    started_at: int | None
    deadline_ms: int | None
    user_id: str | None
    request_id: str | None
    correlation_context: Mapping[str, str] | None
    parent_execution_id: str | None


@dataclass(frozen=True, slots=True)
class Completed:
    """A submission with nothing missing that can be filled in."""

    text: str
    steps: Mapping[str, str] = field(default_factory=dict)
    """The ids of the steps that were given names, by name."""


def write(
    plan: Mapping[str, Any] | Plan,
    environment: Mapping[str, Any],
    **members: Unpack[Members],
) -> str:
    """Write a submission as JSON text, from Python values.

    Args:
        plan: A plan, in plain values or as a model.
        environment: What its steps are to find, by name.
        **members: The other members of a submission; None is left out.

    Raises:
        TypeError: A value has no JSON form.
        ValueError: A value is NaN, an infinity, or nests too deep.
    """
    texts = {
        "plan": _plan_text(plan),
        "environment": dump(dict(environment)),
        **{name: dump(value) for name, value in members.items() if value is not None},
    }
    return _object(texts)


def complete(text: str, now: int, *, renew: bool = False) -> Completed:
    """Fill in what is missing: ids, version, times, deadline, names of steps.

    What is there stays as it is written, opaque values to the byte. Nothing is
    corrected: what is wrong is left for the validation to name.

    Args:
        text: A submission as JSON text.
        now: Unix ms.
        renew: Make it another execution: ids and times that are there count as missing.

    Raises:
        DecodeError: The text, or the plan in it, is no JSON object.
    """
    submission = raw_members(text)
    if "plan" not in submission:
        return Completed(text)
    plan = raw_members(submission["plan"])
    if renew:
        for name in ("execution_id", "started_at", "deadline_ms"):
            submission.pop(name, None)
        plan.pop("id", None)
    plan.setdefault("id", quoted(new_id()))
    plan.setdefault("version", "1")
    plan.setdefault("created_at", str(now))
    steps = _name_steps(plan)
    submission["plan"] = _object(plan)
    submission.setdefault("execution_id", quoted(new_id()))
    submission.setdefault("started_at", str(now))
    submission.setdefault("environment", "{}")
    submission.setdefault("deadline_ms", _deadline(submission, plan))
    return Completed(_object(submission), steps)


def _deadline(submission: Mapping[str, str], plan: Mapping[str, str]) -> str:
    started = load(submission["started_at"])
    timeout = load(plan.get("timeout_ms", str(_DEFAULT_TIMEOUT_MS)))
    if type(started) is not int or type(timeout) is not int:
        return "null"  # refused, beside what is wrong with the others
    return str(started + timeout + DEADLINE_MARGIN_MS)


def _name_steps(plan: dict[str, str]) -> dict[str, str]:
    """Replace names of steps, in ids and dependencies, by the ids they stand for."""
    plan_id = _string(plan["id"])
    texts = read_whole(plan.get("steps", "null"), array_reader(raw))
    if not isinstance(texts, list):
        return {}
    steps = [raw_members(each) for each in texts if each.startswith("{")]
    names = [_string(step.get("id", "null")) for step in steps]
    ids = {name: step_id(plan_id, name) for name in names if _STEP_NAME.fullmatch(name)}
    if ids and len(steps) == len(texts):
        plan["steps"] = f"[{','.join(_rename(step, ids) for step in steps)}]"
    return ids


def _rename(step: dict[str, str], ids: Mapping[str, str]) -> str:
    name = _string(step.get("id", "null"))
    if name in ids:
        step["id"] = quoted(ids[name])
    depends_on = load(step.get("depends_on", "null"))
    if isinstance(depends_on, list):
        step["depends_on"] = dump([_named(each, ids) for each in depends_on])
    return _object(step)


def _named(dependency: object, ids: Mapping[str, str]) -> object:
    """Give the id of a named step; what is no name stays, whatever it is."""
    return (
        ids.get(dependency, dependency) if isinstance(dependency, str) else dependency
    )


def _string(text: str) -> str:
    """Read JSON text as a string; anything else is the empty one."""
    value = load(text)
    return value if isinstance(value, str) else ""


def _plan_text(plan: Mapping[str, Any] | Plan) -> str:
    if isinstance(plan, Plan):
        return to_json(plan)
    return dump(dict(plan))


def _object(members: Mapping[str, str]) -> str:
    """Write a JSON object from the texts of its members."""
    return (
        "{" + ",".join(f"{dump(name)}:{text}" for name, text in members.items()) + "}"
    )
