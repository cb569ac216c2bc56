"""Makes submissions: sound ones, and sound ones with something changed."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

ACTION: Final = "conformance"
"""Does what the step's payload says."""
TYPED: Final = "conformance-typed"
"""Wants a payload of its own form."""
PLAIN: Final = "conformance-plain"
"""Is a plain function, which blocks a process."""
NOBODYS: Final = "conformance-nobody"
"""Goes to a queue that no worker serves."""
ROUTES: Final[Mapping[str, str]] = {
    ACTION: "conformance",
    TYPED: "conformance",
    PLAIN: "conformance",
    NOBODYS: "conformance-nobody",
}
"""Which queues an installation must send these actions to."""
QUEUE: Final = "conformance"
TIMEOUT_MS: Final = 90_000
"""Of plans that no limit is to end, however busy the machine."""
MARGIN_MS: Final = 60_000
ENVIRONMENT: Final[Mapping[str, Any]] = {"where": "here"}


@dataclass(frozen=True)
class In:
    """An instant, so many milliseconds after the submission is sent."""

    ms: int


@dataclass(frozen=True)
class Raw:
    """JSON text that goes in as it is written."""

    text: str


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()
"""For `changed`: the member is taken away."""


def named(name: str) -> str:
    """The id of the step that is called so here: a canonical UUID, version 4."""
    digest = blake2b(name.encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))


def new_id() -> str:
    """A canonical UUID, version 4."""
    return str(uuid.uuid4())


def step(
    name: str,
    *does: Any,
    after: tuple[str, ...] = (),
    action: str = ACTION,
    **members: Any,
) -> dict[str, Any]:
    """A step called `name`.

    Args:
        name: Steps are named; their ids follow from the names.
        does: What the handler does, attempt by attempt; the last again and again.
        after: The names of those that it depends on.
        action: Who does it.
        **members: Further ones of the step, or other ones.
    """
    return {
        "id": named(name),
        "action": action,
        "payload": {"attempts": list(does)} if does else {},
        "depends_on": [named(each) for each in after],
        **members,
    }


def plan(*steps: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """A plan of these steps, with an id that nobody has used."""
    return {
        "id": new_id(),
        "version": 1,
        "created_at": In(0),
        "name": "conformance",
        "context_requirements": ["where"],
        "timeout_ms": TIMEOUT_MS,
        "steps": list(steps),
        **members,
    }


def submission(
    *steps: Mapping[str, Any], members: Mapping[str, Any] | None = None, **of_plan: Any
) -> dict[str, Any]:
    """A submission of a plan of these steps; instants are those of its sending."""
    return {
        "plan": plan(*steps, **of_plan),
        "execution_id": new_id(),
        "started_at": In(0),
        "deadline_ms": In(TIMEOUT_MS + MARGIN_MS),
        "environment": dict(ENVIRONMENT),
        **(members or {}),
    }


def changed(made: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A submission with another value at a path such as `plan.steps[0].action`."""
    copy = deepcopy(dict(made))
    *parents, last = [
        int(index) if index else name
        for index, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)
    ]
    inner: Any = copy
    for part in parents:
        inner = inner[part]
    if value is MISSING:
        del inner[last]
    else:
        inner[last] = value
    return copy


def written(value: Any, now: int) -> str:
    """JSON text, with instants filled in.

    Args:
        value: As `json` takes it, with `In` and `Raw` in it.
        now: When it is sent, Unix ms.
    """
    match value:
        case In():
            return str(now + value.ms)
        case Raw():
            return value.text
        case dict():
            members = (f"{json.dumps(n)}:{written(v, now)}" for n, v in value.items())
            return "{" + ",".join(members) + "}"
        case list() | tuple():
            return "[" + ",".join(written(each, now) for each in value) + "]"
        case _:
            return json.dumps(value)


# -- what handlers do: a list of these is one attempt


def gives(value: Any) -> list[Any]:
    """Complete with a value."""
    return [["give", value]]


def fails(code: str, **how: Any) -> list[Any]:
    """Fail with a code, and perhaps a severity, message, context."""
    return [["fail", {"code": code, **how}]]


def raises(kind: str) -> list[Any]:
    """Raise a built-in exception."""
    return [["raise", kind]]


def sleeps(ms: int) -> list[Any]:
    """Take so long, then go on with what follows."""
    return [["sleep", ms]]


def warns(code: str, message: str = "") -> list[Any]:
    """Warn, then go on."""
    return [["warn", {"code": code, "message": message}]]


def odd(kind: str) -> list[Any]:
    """Do something that few handlers do; see `handlers.ODD`."""
    return [["odd", kind]]


def tells(what: str) -> list[Any]:
    """Complete with something that a handler is told; see `handlers.TOLD`."""
    return [["tell", what]]
