"""Checks the graph of a plan's steps: dependencies that do not exist, and cycles (F13).

Works on steps of which some may be broken; linear in steps and edges, no recursion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.identity import is_uuid4
from schemas.violations import Violation, ViolationClass

_SHOWN_STEPS = 5
"""How many steps of a cycle its message names."""

Edges = list[list[int]]
"""By the number of a step: the numbers of the steps it depends on."""


def check_dependencies(steps: Sequence[Any]) -> Iterator[Violation]:
    """Yield a violation for each dangling dependency, then one for each cycle."""
    numbers = step_numbers(steps)
    edges: Edges = []
    for number, step in enumerate(steps):
        listed = _dependencies(step)
        known = [numbers[step_id] for step_id in listed if step_id in numbers]
        edges.append(known)
        if len(known) < len(listed):
            yield from _check_ids(number, listed, numbers)
    if any(known and max(known) >= number for number, known in enumerate(edges)):
        yield from map(_cyclic, find_cycles(edges))


def step_numbers(steps: Sequence[Any]) -> dict[str, int]:
    """The place of each step id; the first, where steps share one."""
    numbers: dict[str, int] = {}
    for number, step in enumerate(steps):
        step_id = step.get("id") if isinstance(step, dict) else None
        if isinstance(step_id, str):
            numbers.setdefault(step_id, number)
    return numbers


def find_cycles(edges: Edges) -> Iterator[list[int]]:
    """Yield cycles that share no step, until what is left has none."""
    waits_for = [len(set(targets)) for targets in edges]
    dependants = _reversed(edges)
    left = set(range(len(edges)))
    ready = deque(number for number in left if not waits_for[number])
    while left:
        while ready:
            number = ready.popleft()
            left.discard(number)
            for dependant in dependants[number]:
                waits_for[dependant] -= 1
                if not waits_for[dependant] and dependant in left:
                    ready.append(dependant)
        if left:
            cycle = _walk(edges, left)
            yield cycle
            # As if its steps were finished: what only waited for them has no cycle.
            left.difference_update(cycle)
            ready.extend(cycle)


def _walk(edges: Edges, left: set[int]) -> list[int]:
    """Go from dependency to dependency: each step left has one, so one comes again."""
    place: dict[int, int] = {}
    path: list[int] = []
    number = min(left)
    while number not in place:
        place[number] = len(path)
        path.append(number)
        number = next(target for target in edges[number] if target in left)
    cycle = path[place[number] :]
    first = cycle.index(min(cycle))
    return cycle[first:] + cycle[:first]


def _reversed(edges: Edges) -> Edges:
    dependants: Edges = [[] for _ in edges]
    for number, targets in enumerate(edges):
        for target in set(targets):
            dependants[target].append(number)
    return dependants


def _dependencies(step: Any) -> list[Any]:
    """The step's dependencies; those that are no strings as None."""
    listed = step.get("depends_on") if isinstance(step, dict) else None
    if not isinstance(listed, list | tuple):
        return []
    return [step_id if isinstance(step_id, str) else None for step_id in listed]


def _check_ids(
    number: int, listed: list[Any], numbers: Mapping[str, int]
) -> Iterator[Violation]:
    """Yield a violation for each id of no step; what is no id, the models refuse."""
    for place, step_id in enumerate(listed):
        if step_id not in numbers and is_uuid4(step_id):
            path = f"plan.steps[{number}].depends_on[{place}]"
            message = f"{step_id} is no step of the plan"
            yield Violation(path, ViolationClass.DEPENDENCIES, message)


def _cyclic(cycle: list[int]) -> Violation:
    path = f"plan.steps[{cycle[0]}].depends_on"
    if len(cycle) == 1:
        message = "the step depends on itself"
    else:
        shown = [f"steps[{number}]" for number in cycle[:_SHOWN_STEPS]]
        more = ["…"] if len(cycle) > _SHOWN_STEPS else []
        chain = " → ".join([*shown, *more, shown[0]])
        message = f"a cycle of {len(cycle)} steps: {chain}"
    return Violation(path, ViolationClass.DEPENDENCIES, message)
