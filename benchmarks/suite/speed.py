"""The closed loops that have a target, and those that make a curve."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.figures import Figures
from benchmarks.scenarios import Scenario, unloaded_last
from benchmarks.shapes import chain, fan
from benchmarks.suite.session import Session
from benchmarks.system import OURS

CURVE = (1, 3, 10, 30, 100, 300, 1000)
"""Plans in flight of the plot of latency against throughput."""

SHAPES = (
    *((chain(3), number) for number in CURVE),
    *((fan(10), number) for number in (100, 400)),
    (chain(100), 1),
    (fan(1000), 1),
)


async def measure(session: Session) -> list[Figures]:
    """Measures all of them, one after the other."""
    found, pace = [], session.scale.pace
    chosen = (Scenario(shape, in_flight, pace) for shape, in_flight in SHAPES)
    for scenario in unloaded_last(chosen):
        found.append(await session.load.measure(scenario))
        session.say(f"  {found[-1].line()}")
    return found


def measures(figures: Iterable[Figures]) -> dict[str, float]:
    """Names the figures as the targets do."""
    found = {}
    for each in figures:
        name = f"{each.shape} × {each.in_flight}"
        found[f"{name} plans/s"] = each.plans_per_s
        found[f"{name} steps/s"] = each.steps_per_s
        found[f"{name} p50"] = each.latency_ms.p50
        found[f"{name} p99"] = each.latency_ms.p99
        if name == "chain-3 × 1000":
            costs = [each.processes[role] for role in OURS if role in each.processes]
            found["cpu a step"] = sum(cost.cpu_ms_per_step for cost in costs)
    return found
