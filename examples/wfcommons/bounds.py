"""How long an instance takes an engine that costs nothing."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from examples.wfcommons.instance import Instance, Task


@dataclass(frozen=True)
class Bound:
    """What no engine can beat, and what a plain one without costs would need."""

    critical_path_ms: float
    """The longest chain of run times."""
    sum_ms: float
    """All run times together."""
    lower_ms: float
    """The larger of the critical path, and the sum shared out evenly to all slots."""
    greedy_ms: float
    """A dispatch in order of readiness, ties in list order (R9, R40)."""


def runtime_ms(task: Task, speedup: float) -> float:
    """A task's run time in ms, to the microsecond, `speedup` times as fast."""
    return round(task.runtime_s * 1000 / speedup, 3)


def bound(instance: Instance, workers: int, speedup: float) -> Bound:
    """Computes the bounds of an instance for so many slots.

    Args:
        instance: The recorded run.
        workers: How many tasks may run at the same time.
        speedup: How much faster than recorded they run.

    Raises:
        ValueError: `workers` is below 1, or `speedup` not above 0.
    """
    if workers < 1 or not speedup > 0:
        raise ValueError(f"{workers} workers, speed-up {speedup}: nothing can run")
    runtimes = [runtime_ms(task, speedup) for task in instance.tasks]
    critical, total = _critical_path(instance, runtimes), sum(runtimes)
    return Bound(
        critical_path_ms=round(critical, 3),
        sum_ms=round(total, 3),
        lower_ms=round(max(critical, total / workers), 3),
        greedy_ms=round(_greedy(instance, runtimes, workers), 3),
    )


def _critical_path(instance: Instance, runtimes: list[float]) -> float:
    ends = [0.0] * len(runtimes)
    for number in instance.order():
        parents = instance.tasks[number].parents
        begin = max((ends[parent] for parent in parents), default=0.0)
        ends[number] = begin + runtimes[number]
    return max(ends, default=0.0)


def _greedy(instance: Instance, runtimes: list[float], workers: int) -> float:
    """Starts what has been ready longest whenever a slot is free."""
    children = instance.children()
    missing = [len(task.parents) for task in instance.tasks]
    ready = [(0.0, number) for number, count in enumerate(missing) if count == 0]
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, number = heapq.heappop(ready)
            heapq.heappush(running, (now + runtimes[number], number))
        now = running[0][0]
        while running and running[0][0] == now:
            for child in children[heapq.heappop(running)[1]]:
                missing[child] -= 1
                if missing[child] == 0:
                    heapq.heappush(ready, (now, child))
    return now
