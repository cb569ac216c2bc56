"""The graph of a plan's steps: who depends on whom, and its longest path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from schemas.plan import Plan

SHORT_ID = 8
"""How many characters of an id tell a plan's steps apart, most likely."""


class Measure(StrEnum):
    """What the length of a path is counted in.

    The contract knows the duration of a whole plan alone (`estimated_duration_ms`).
    What it says of a single step is a limit, which a step need not have.
    """

    LIMITS = "step timeouts"
    STEPS = "number of steps"


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The longest path through a plan."""

    measure: Measure
    steps: Sequence[int]
    """In the order in which they run, by their numbers."""
    limit_ms: int | None
    """What the limits of its steps add up to, when it is measured by them."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A plan's steps, by their numbers; it has no cycle."""

    plan: Plan
    labels: Sequence[str]
    dependencies: Sequence[Sequence[int]]
    dependants: Sequence[Sequence[int]]
    levels: Sequence[int]
    """How many steps must have ended before each, one after the other."""
    critical: CriticalPath


def graph_of(plan: Plan, names: Mapping[str, str] | None = None) -> Graph:
    """Draw up the graph of a valid plan.

    Args:
        plan: Without cycles.
        names: Step ids by names, where steps have any.
    """
    numbers = {step.id: number for number, step in enumerate(plan.steps)}
    dependencies = [
        sorted({numbers[each] for each in step.depends_on}) for step in plan.steps
    ]
    dependants: list[list[int]] = [[] for _ in plan.steps]
    for number, targets in enumerate(dependencies):
        for target in targets:
            dependants[target].append(number)
    order = _ordered(dependencies, dependants)
    ends = _longest(order, dependencies, [1] * len(order))
    levels = [end - 1 for end in ends]
    critical = _critical(plan, order, dependencies)
    labels = _labels(plan, names or {})
    return Graph(plan, labels, dependencies, dependants, levels, critical)


def _labels(plan: Plan, names: Mapping[str, str]) -> list[str]:
    by_id = {step_id: name for name, step_id in names.items()}
    return [by_id.get(step.id, step.id[:SHORT_ID]) for step in plan.steps]


def _ordered(
    dependencies: Sequence[Sequence[int]], dependants: Sequence[Sequence[int]]
) -> list[int]:
    """Put dependencies before dependants."""
    waits_for = [len(targets) for targets in dependencies]
    order = [number for number, count in enumerate(waits_for) if not count]
    for number in order:  # grows as it goes
        for dependant in dependants[number]:
            waits_for[dependant] -= 1
            if not waits_for[dependant]:
                order.append(dependant)
    return order


def _longest(
    order: Sequence[int], dependencies: Sequence[Sequence[int]], weights: Sequence[int]
) -> list[int]:
    """By step: the length of the longest path that ends with it."""
    ends = [0] * len(order)
    for number in order:
        before = max((ends[each] for each in dependencies[number]), default=0)
        ends[number] = before + weights[number]
    return ends


def _critical(
    plan: Plan, order: Sequence[int], dependencies: Sequence[Sequence[int]]
) -> CriticalPath:
    limits = [step.timeout_ms for step in plan.steps if step.timeout_ms is not None]
    limited = len(limits) == len(plan.steps)
    weights = limits if limited else [1] * len(plan.steps)
    ends = _longest(order, dependencies, weights)
    path = [_furthest(range(len(ends)), ends)]
    while before := dependencies[path[-1]]:
        path.append(_furthest(before, ends))
    measure = Measure.LIMITS if limited else Measure.STEPS
    return CriticalPath(measure, path[::-1], max(ends) if limited else None)


def _furthest(numbers: Sequence[int], ends: Sequence[int]) -> int:
    return max(numbers, key=lambda number: (ends[number], -number))
