"""Figures that sum up many: percentiles of latencies and of silences."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.chaos.faults import Done
from tests.chaos.follower import Follower, Silence
from tests.chaos.load import Load
from tests.chaos.mix import TIMED

BEFORE_MS = 500
AFTER_MS = 3000
"""A silence that begins so long before or after a fault counts as its consequence."""


def spread(values: Iterable[int]) -> dict[str, int]:
    """Count, median, 99th percentile and maximum."""
    ordered = sorted(values)
    if not ordered:
        return {"count": 0}

    def at(part: float) -> int:
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    return {
        "count": len(ordered),
        "p50": at(0.5),
        "p99": at(0.99),
        "max": ordered[-1],
    }


def silence_ms(done: Done, silences: Iterable[Silence]) -> int:
    """The longest silence of a partition around a fault."""
    until = (done.ended or done.began) + AFTER_MS
    near = [
        each.ended - each.began
        for each in silences
        if each.ended > done.began - BEFORE_MS and each.began < until
    ]
    return max(near, default=0)


def by_kind(done: Iterable[Done], silences: list[Silence]) -> dict[str, Any]:
    """How often each kind of fault was done, and how long it silenced a partition."""
    found: dict[str, list[int]] = {}
    for each in done:
        silent_ms = silence_ms(each, silences)
        found.setdefault(each.fault.kind.value, []).append(silent_ms)
    return {kind: spread(values) for kind, values in sorted(found.items())}


def latencies(
    load: Load, follower: Follower, when: Callable[[int, int], bool]
) -> dict[str, int]:
    """From submission to result, ms, of plans that wait for nothing but their steps.

    A plan counts if `when` says so of the times when it was made and seen to end.
    """
    found = []
    for plan_id, seen_at in follower.seen.items():
        made = load.made.get(plan_id)
        if made and made.kind in TIMED and when(made.at_ms, seen_at):
            found.append(seen_at - made.at_ms)
    return spread(found)
