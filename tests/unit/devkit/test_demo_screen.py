import io
import json
from typing import Any

import pytest
from rich.console import Console

from schemas.errors import ErrorCode, make_error
from schemas.opaque import dump
from schemas.results import PlanResult, Status
from schemas.steps import StepFailed, StepStarted, StepSucceeded
from streams.client import Submitted
from streams.devkit.demo_live import LiveScreen
from streams.devkit.demo_plans import DemoPlan, Expected
from streams.devkit.demo_progress import Tracked
from streams.devkit.demo_screen import JsonScreen, Screen
from streams.results import Received
from streams.submissions import new_id, step_id

LONG = "it cannot be parsed, " * 8


def plan(name: str) -> Tracked:
    plan_id = new_id()
    ids = {step: step_id(plan_id, step) for step in ("find", "pack")}
    expected = Expected(Status.FAILURE, (ErrorCode.UNKNOWN_ERROR,))
    demo = DemoPlan(name, {}, "it is to fail", expected, reports=False)
    return Tracked(demo, Submitted(plan_id, new_id(), 0, 0, ids))


def step(plan: Tracked, name: str, **members: Any) -> dict[str, Any]:
    return {"step_id": plan.submitted.steps[name], "attempt": 1, **members}


def end(plan: Tracked) -> None:
    step_id = plan.submitted.steps["find"]
    result = PlanResult(
        plan_id=plan.submitted.plan_id,
        execution_id=plan.submitted.execution_id,
        status=Status.FAILURE,
        completed_at=1_700_000_001_500,
        duration_ms=1500,
        steps_executed=1,
        steps_total=2,
        result_payload={plan.submitted.steps["pack"]: dump({})},
        error=make_error(ErrorCode.UNKNOWN_ERROR, LONG, step_id=step_id),
    )
    plan.end(Received("planstream.results.failure", 0, 0, 0, (), result))


def on(**options: Any) -> tuple[io.StringIO, Console]:
    output = io.StringIO()
    console = Console(file=output, width=80, markup=False, emoji=False, **options)
    return output, console


def test_a_pipe_gets_lines_that_nothing_breaks() -> None:
    """One line for each fact, however long, for `grep`; no codes of a terminal."""
    output, console = on(highlight=False, soft_wrap=True)
    screen, shop = Screen(console), plan("shop")
    failed = shop.fold(
        StepFailed,
        step(shop, "find", error={"error_code": "BUSY", "message": "it is"}),
    )
    assert failed is not None

    with screen:
        screen.doing("starting it")
        screen.done("it", "has started")
        screen.submitted([shop])
        screen.failed(shop, failed)
        end(shop)
        screen.ended(shop)
        screen.all_ended([shop])

    _, it, _, submitted, _, attempt, *ended = ["", *output.getvalue().splitlines()]
    assert it.split() == ["it", "has", "started", "0.0", "s"]
    assert submitted == "1 plans with 2 steps have been submitted."
    assert attempt == "shop     attempt 1 of find: BUSY"
    assert ended == [
        "shop     failure 1 of 2 steps    1.50 s  planstream.results.failure",
        "         on purpose: it is to fail",
        f"         UNKNOWN_ERROR in find: {LONG.strip()} ",
    ]


def test_programs_get_json_lines_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not a word more on standard output, and none on the other."""
    screen, shop = JsonScreen(), plan("shop")
    end(shop)

    with screen:
        screen.say("for people")
        screen.doing("starting it")
        screen.done("it", "has started")
        screen.submitted([shop])
        screen.ended(shop)
        screen.all_ended([shop])

    out, err = capsys.readouterr()
    assert [json.loads(line)["plan"] for line in out.splitlines()] == ["shop"]
    assert err == ""


def test_a_terminal_shows_what_each_plan_does() -> None:
    """What runs, what had to be tried again, what has ended; in one line each."""
    output, console = on(force_terminal=True, highlight=False)
    screen = LiveScreen(console)
    plans = running, retried, ended, waiting = [plan(name) for name in "abcd"]
    running.fold(StepSucceeded, step(running, "find"))
    running.fold(StepStarted, step(running, "pack"))
    error = {"error_code": "BUSY", "message": "it is"}
    retried.fold(StepFailed, step(retried, "find", error=error))
    end(ended)

    with screen:
        screen.submitted(plans)
        plain, there = on()
        there.print(screen.render())
    beside = [line[30:].split() for line in plain.getvalue().splitlines()]

    assert beside[:4] == [
        ["1/2", "pack"],
        ["0/2", "find,", "attempt", "1:", "BUSY"],
        ["1/2", "failure", "1.50", "s"],
        ["0/2", "waiting"],
    ]
    assert "running plans …" in plain.getvalue()
    assert waiting.total == 2
    assert output.getvalue()


def test_a_terminal_gets_the_ends_of_all_plans_last() -> None:
    """Long lines are broken, and stay under the plan that they belong to."""
    output, console = on(highlight=False)
    screen, plans = LiveScreen(console), [plan("a"), plan("b")]

    with screen:
        screen.submitted(plans)
        for each in plans:
            end(each)
            screen.ended(each)
        screen.all_ended(plans)

    text = output.getvalue()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    heads = [line for line in lines if line.startswith(("a  ", "b  "))]
    assert [head[:16] for head in heads] == ["a        failure", "b        failure"]
    assert sum("UNKNOWN_ERROR in find" in line for line in lines) == 2
    below = [line for line in lines[lines.index(heads[0]) :] if line not in heads]
    assert len(below) > 6
    assert all(line.startswith(" " * 9) for line in below)
