"""Measures one partition's folds: bytes an open plan, CPU of a plan from end to end."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator
from statistics import median

from agents.open_plans import IDLE_MS, KEPT, OpenPlans
from benchmarks.folding.partition import Partition
from benchmarks.shapes import Shape
from benchmarks.submissions import Template, Terms

AHEAD = 1000
"""Plans opened before those that count: imports and caches are theirs."""
TERMS = Terms(
    payload='{"number":0}', attempts=1, step_timeout_ms=None, lifetime_ms=2**48
)
"""As little as a plan can ask for. No deadline passes, however far time is moved."""


def bytes_a_plan(shape: Shape, plans: int, *, idle: bool) -> float:
    """Counts the bytes allocated for an open plan.

    Args:
        shape: of the plans.
        plans: how many are opened.
        idle: nothing happens to them for long, or all have just been opened.
    """
    partition, template = _start(shape)
    apart_ms = IDLE_MS if idle else 0
    # From the start: some of the first plans are forgotten while the others come.
    tracemalloc.start(1)
    try:
        partition.admit(_submissions(template, KEPT + AHEAD), apart_ms)
        before = _allocated()
        partition.admit(_submissions(template, plans), apart_ms)
        after = _allocated()
    finally:
        tracemalloc.stop()
    assert len(partition.state.tables.plans) == KEPT + AHEAD + plans
    return (after - before) / plans


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def cpu_us_a_plan(shape: Shape, in_flight: int, rounds: int) -> float:
    """Takes the time of a plan's folds, from its submission to its result; a median."""
    partition, template = _start(shape)
    found = []
    for _ in range(rounds):
        partition.cpu_s = 0.0
        asked = partition.admit(_submissions(template, in_flight))
        while asked:
            asked = partition.answer(asked)
        found.append(partition.cpu_s / in_flight * 1e6)
    return median(found)


def cpu_us_a_return(shape: Shape, plans: int) -> float:
    """Takes the time in which a forgotten plan is built again from its rows."""
    partition, template = _start(shape)
    partition.admit(_submissions(template, plans))
    state = partition.state
    forgetful = OpenPlans(state.tables)
    began = time.thread_time()
    for key in state.tables.plans:
        forgetful.find(key, state.now)
    return (time.thread_time() - began) / plans * 1e6


def _start(shape: Shape) -> tuple[Partition, Template]:
    now_ms = time.time_ns() // 1_000_000
    return Partition(now_ms), Template.of(shape, now_ms, terms=TERMS)


def _submissions(template: Template, count: int) -> Iterator[bytes]:
    return (template.make().value for _ in range(count))
