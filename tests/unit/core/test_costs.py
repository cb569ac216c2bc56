"""What a fold costs: counted in executed bytecodes, not in time."""

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from agents.core.commands import RequestStep
from agents.core.events import Event, Failed, Started, Succeeded
from agents.core.folding import begin, fold
from agents.core.progress import PlanProgress
from agents.core.recovery import restore
from agents.core.terms import PlanTerms
from tests.unit.core.plans import (
    ADMITTED_AT,
    Run,
    error,
    of_type,
    step,
    submission,
    terms,
)


def opcodes(work: Callable[[], object]) -> int:
    """How many bytecodes run; what C does inside one of them counts as one."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    # A collection would run others' finalizers and callbacks, and count them.
    gc.disable()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def fan_in(width: int) -> PlanTerms:
    """Steps without dependencies, and one that waits for all of them."""
    return terms(*[step(n) for n in range(width)], step(width, *range(width)))


def fan_out(width: int) -> PlanTerms:
    """One step that all others wait for."""
    return terms(step(0), *[step(n, 0) for n in range(1, width + 1)])


def cost_of(plan: PlanTerms, event: Event) -> int:
    """The cost of folding one event into a plan that was just begun."""
    run = Run(plan)
    return opcodes(lambda: fold(run.progress, event, run.now))


@pytest.mark.parametrize(
    "event",
    [
        Succeeded(0, 1),
        Started(0, 1, "w", 0),
        Failed(0, 1, error("UNLISTED").model_copy(update={"step_id": None})),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_fold_costs_the_same_whatever_the_plans_size(event: Event) -> None:
    """DESIGN §4: O(successors of that step), never O(steps)."""
    steps = [step(n, on_failure="retry") for n in range(1023)]
    small, large = terms(*steps[:8]), terms(*steps)
    assert cost_of(small, event) == cost_of(large, event)


def test_a_wide_join_folds_in_linear_time() -> None:
    """DESIGN §4: 1,024 steps into one join; each fold touches one counter."""
    run = Run(fan_in(1023))
    costs = [
        opcodes(lambda n=n: run.succeed(n))  # type: ignore[misc]
        for n in range(1022)
    ]
    assert max(costs) - min(costs) <= 2
    assert of_type(run.succeed(1022), RequestStep) == [RequestStep(1023, 1)]


def test_a_wide_fan_costs_its_width() -> None:
    """O(successors): ten times the width, ten times the cost."""
    costs = [cost_of(fan_out(width), Succeeded(0, 1)) for width in (10, 100, 1000)]
    per_step = (costs[2] - costs[1]) / 900
    assert per_step == pytest.approx((costs[1] - costs[0]) / 90, rel=0.01)
    assert per_step < 200


@pytest.mark.parametrize("shape", [fan_in, fan_out])
def test_the_end_of_a_plan_costs_its_steps_once(
    shape: Callable[[int], PlanTerms],
) -> None:
    """DESIGN §4: O(steps) at the end alone, at little a step."""

    def last_fold(width: int) -> int:
        run = Run(shape(width))
        run.succeed(*range(width))
        return opcodes(lambda: run.succeed(width))

    assert (last_fold(1000) - last_fold(100)) / 900 < 20


@pytest.mark.parametrize("shape", [fan_in, fan_out])
def test_admission_and_recovery_cost_steps_and_edges(
    shape: Callable[[int], PlanTerms],
) -> None:
    """DESIGN §4: O(steps + edges)."""

    def admit(width: int) -> int:
        fields = submission()
        fields["plan"]["steps"] = _steps_of(shape(width))
        return opcodes(lambda: _open(fields))

    growth = (admit(1000) - admit(100)) / 900
    assert growth == pytest.approx((admit(100) - admit(10)) / 90, rel=0.05)


def _steps_of(plan: PlanTerms) -> list[dict[str, Any]]:
    return [step(number, *after) for number, after in enumerate(plan.depends_on)]


def _open(fields: dict[str, Any]) -> None:
    plan = PlanTerms.of(fields)
    begin(PlanProgress(plan, ADMITTED_AT), ADMITTED_AT)
    restore(plan, ADMITTED_AT, [])
