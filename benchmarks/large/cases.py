"""Which large things are measured."""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmarks.shapes import MAX_STEPS, Shape, chain, ready
from benchmarks.submissions import Terms

LARGEST_RESULT = 2**18
"""The bytes of a step's result at most (§1)."""
RESULTS = 23
"""So many of the largest results fit into a plan's (R22)."""
MEBIBYTE = 2**20
TAGS = 10_000


@dataclass(frozen=True)
class Case:
    """A large plan."""

    name: str
    shape: Shape
    terms: Terms


def _looking() -> Terms:
    """Makes every step ask for a MiB of the environment."""
    return Terms(
        action="measure",
        payload='{"name":"text"}',
        environment={"text": json.dumps("x" * MEBIBYTE)},
    )


def cases() -> list[Case]:
    """Lists them, the smallest first: a process keeps the memory that it once had."""
    blob = Terms(action="blob", payload=f'{{"characters":{LARGEST_RESULT - 2}}}')
    tags = Terms(tags=[f"tag-{number}" for number in range(TAGS)])
    return [
        Case("a plan of one step, to compare with", chain(1), Terms()),
        Case(f"{TAGS:,} tags", chain(1), tags),
        Case(f"{MAX_STEPS:,} steps, all ready", ready(MAX_STEPS), Terms()),
        Case(f"{MAX_STEPS:,} steps in a chain", chain(MAX_STEPS), Terms()),
        Case(
            f"1 MiB environment, {MAX_STEPS:,} steps, all ready",
            ready(MAX_STEPS),
            _looking(),
        ),
        Case(
            f"1 MiB environment, {MAX_STEPS:,} steps in a chain",
            chain(MAX_STEPS),
            _looking(),
        ),
        Case(f"{RESULTS} results of 256 KiB", ready(RESULTS), blob),
    ]
