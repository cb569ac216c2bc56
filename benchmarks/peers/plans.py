"""The plans that every engine runs, and what must come out of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAYLOAD: Mapping[str, Any] = {
    "id": "a1b2c3d4e5f60718",
    "kind": "bench.step",
    "n": 42,
    "note": "a small payload of about a hundred bytes",
}
STEP_TIMEOUT_S = 30
STEP_ATTEMPTS = 3

CHAIN, FAN = "chain", "fan"


class WrongResult(Exception):
    """A plan ended with something else than it should."""


def kind(shape: str) -> tuple[str, int]:
    """Takes the name of a shape apart: `chain-3`, or `fan-10`, which is 1-10-1."""
    name, _, size = shape.partition("-")
    return name, int(size)


def steps(shape: str) -> int:
    """Counts the steps of a plan."""
    name, size = kind(shape)
    return size if name == CHAIN else size + 2


def result(count: int, last: Any) -> dict[str, Any]:
    """Makes the result of a plan: how many steps ran, and what the last one gave."""
    return {"steps": count, "last": last}


def check(shape: str, found: Any) -> None:
    """Looks at the result of a plan.

    Raises:
        WrongResult: It is not what it must be.
    """
    if found != result(steps(shape), PAYLOAD):
        raise WrongResult(f"{shape}: {str(found)[:300]}")
