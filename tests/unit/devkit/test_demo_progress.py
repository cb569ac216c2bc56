import json
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ErrorCode, ExecutionError, make_error
from schemas.opaque import dump
from schemas.record import Record
from schemas.results import PlanResult, Status
from schemas.steps import StepFailed, StepStarted, StepSucceeded
from streams.client import Submitted
from streams.devkit.demo_plans import DemoPlan, Expected
from streams.devkit.demo_progress import Tracked
from streams.devkit.demo_text import facts, heading, particulars
from streams.results import Received, Rejected
from streams.submissions import step_id

PLAN = "00000000-0000-4000-8000-000000000001"
EXECUTION = "00000000-0000-4000-8000-000000000002"
NAMES = ("find", "merge", "report")
IDS = {name: step_id(PLAN, name) for name in NAMES}


def tracked(expected: Expected | None = None, **members: Any) -> Tracked:
    demo = DemoPlan("shop", {}, expected=expected or Expected(Status.SUCCESS))
    demo = DemoPlan("shop", {}, expected=demo.expected, **members)
    return Tracked(demo, Submitted(PLAN, EXECUTION, 0, 0, IDS))


def outcome(model: type[Record], step: str, **members: Any) -> Any:
    return model, {"step_id": IDS[step], "attempt": 1, **members}


def failure(code: str) -> dict[str, Any]:
    return {"error_code": code, "message": f"it was {code}"}


def received(status: Status, error: ExecutionError | None, **returned: Any) -> Received:
    result = PlanResult(
        plan_id=PLAN,
        execution_id=EXECUTION,
        status=status,
        completed_at=1_700_000_001_500,
        duration_ms=1500,
        steps_executed=len(returned),
        steps_total=len(NAMES),
        result_payload={IDS[name]: dump(value) for name, value in returned.items()},
        error=error,
    )
    return Received("planstream.results.x", 1, 7, 0, (), result)


def success(report: Path) -> Received:
    counts = {"files": 4, "lines": 1234, "functions": 21, "classes": 20}
    return received(
        Status.SUCCESS, None, find={}, merge=counts, report={"report": str(report)}
    )


def lines(plan: Tracked) -> list[str]:
    return [line.plain for line in particulars(plan)]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "shop.md"
    path.write_text("# shop")
    return path


def test_steps_are_followed_by_name() -> None:
    """What runs, what has completed, what has failed."""
    plan = tracked()

    plan.fold(*outcome(StepStarted, "find"))
    plan.fold(*outcome(StepStarted, "merge"))
    plan.fold(*outcome(StepSucceeded, "find"))
    failed = plan.fold(*outcome(StepFailed, "merge", error=failure("BUSY")))

    assert failed is not None
    assert (failed.step, failed.code, failed.attempt) == ("merge", "BUSY", 1)
    assert (plan.completed, list(plan.running), plan.failed) == (
        {"find"},
        [],
        [failed],
    )
    assert not plan.is_over


def test_a_result_knows_best_which_steps_completed(report: Path) -> None:
    """Outcomes of steps are read apart, and may come later than the result."""
    plan = tracked()
    plan.fold(*outcome(StepStarted, "report"))

    plan.end(success(report))

    assert plan.completed == set(NAMES)
    assert not plan.running
    assert plan.surprise is None


def test_people_are_told_what_came_of_it(report: Path) -> None:
    """Status, steps, duration and topic in one line, the rest below."""
    plan = tracked()
    plan.end(success(report))

    words = " ".join(heading(plan).plain.split())
    assert words == "shop success 3 of 3 steps 1.50 s planstream.results.x"
    assert lines(plan) == [
        "4 files, 1,234 lines, 21 functions, 20 classes",
        f"report: {report}",
    ]


def test_attempts_are_told_of(report: Path) -> None:
    """Of a step that completed in the end: how many, and why more than one."""
    plan = tracked(Expected(Status.SUCCESS, retried="report"))
    plan.fold(*outcome(StepFailed, "report", error=failure("BUSY")))
    plan.fold(*outcome(StepFailed, "report", error=failure("BUSY"), attempt=2))
    plan.end(success(report))

    assert "report took 3 attempts; BUSY: it was BUSY" in lines(plan)
    assert facts(plan)["attempts"] == {"report": 3}
    assert plan.surprise is None


def test_errors_are_told_with_names_and_causes() -> None:
    """Ids of steps mean nothing to people."""
    cause = make_error("NOT_PYTHON", "line 7", step_id=IDS["find"])
    message = f"step {IDS['find']} was skipped"
    error = make_error(
        ErrorCode.STEP_SKIPPED, message, step_id=IDS["find"], cause=cause
    )
    expected = Expected(Status.PARTIAL, (ErrorCode.STEP_SKIPPED, "NOT_PYTHON"))
    plan = tracked(expected, reports=False, purpose="to show it")

    plan.end(received(Status.PARTIAL, error, merge=None))

    assert plan.surprise is None
    assert lines(plan) == [
        "on purpose: to show it",
        "STEP_SKIPPED: step find was skipped",
        "because of NOT_PYTHON: line 7",
    ]


def test_an_error_says_which_step_it_is_of() -> None:
    """Also when its message does not."""
    error = make_error(ErrorCode.STEP_TIMEOUT, "too long", step_id=IDS["merge"])
    plan = tracked(Expected(Status.FAILURE, (ErrorCode.STEP_TIMEOUT,)), reports=False)

    plan.end(received(Status.FAILURE, error, find={}))

    assert lines(plan) == ["STEP_TIMEOUT in merge: too long"]


FATAL = make_error(ErrorCode.PLAN_TIMEOUT, "too long")


@pytest.mark.parametrize(
    ("expected", "how", "surprise"),
    [
        (Status.SUCCESS, (Status.FAILURE, FATAL), "ended in failure, not in success"),
        (
            Status.FAILURE,
            (Status.FAILURE, FATAL),
            "ended with PLAN_TIMEOUT, not with no error",
        ),
        (Status.SUCCESS, (Status.SUCCESS, None), "has left no report"),
    ],
)
def test_what_was_not_expected_is_said(
    expected: Status, how: tuple[Status, ExecutionError | None], surprise: str
) -> None:
    """To people and to programs."""
    plan = tracked(Expected(expected))

    plan.end(received(*how))

    assert plan.surprise == surprise
    assert lines(plan)[0] == f"not as expected: it {surprise}"
    assert facts(plan)["surprise"] == surprise


def test_a_step_that_was_not_tried_again_is_a_surprise(report: Path) -> None:
    """The plan is there to show that."""
    plan = tracked(Expected(Status.SUCCESS, retried="report"))

    plan.end(success(report))

    assert plan.surprise == "did not try report again"


def test_a_plan_without_a_result_is_a_surprise() -> None:
    """It says how far the plan had come."""
    plan = tracked()
    plan.fold(*outcome(StepSucceeded, "find"))

    assert plan.surprise == "has no result (1 of 3 steps completed)"
    assert heading(plan).plain.split() == ["shop", "no", "result"]
    assert facts(plan)["status"] is None


def test_a_rejected_plan_is_a_surprise() -> None:
    """It will never have a result; its dead letter says why."""
    headers = (("reason", b"MALFORMED"), ("reason-detail", b"no JSON"))
    plan = tracked()

    plan.end(Rejected("planstream.rejected", 0, 0, 0, headers, PLAN.encode(), b"?"))

    assert plan.is_over
    assert plan.surprise == "was rejected: MALFORMED: no JSON"
    assert heading(plan).plain.split() == ["shop", "rejected"]


def test_facts_are_json(report: Path) -> None:
    """Everything that a program may want to know, in plain values."""
    plan = tracked()
    plan.end(success(report))

    found = json.loads(json.dumps(facts(plan)))

    assert found["topic"] == "planstream.results.x"
    assert (found["partition"], found["offset"]) == (1, 7)
    assert found["status"] == found["expected"] == "success"
    assert (found["steps_executed"], found["steps_total"]) == (3, 3)
    assert (found["errors"], found["report"]) == ([], str(report))
