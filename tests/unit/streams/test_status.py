"""What `planstream status` prints, and what it exits with (U1, U3)."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from schemas.commands import Limit
from schemas.status import RunningPlan, StepPhase, StepStatus, WaitsFor
from streams import cli_status
from streams.cli import app
from streams.cli_output import ExitCode
from streams.cli_status import show_resources, show_status
from streams.status import Known, PlanResources, PlanStatus, WorkerHoldings
from tests.unit.schemas.factories import EXECUTION_ID, NOW, PLAN_ID, uuid4
from tests.unit.streams.test_asking import ENDED

WAITING = StepStatus(
    step_id=uuid4(103),
    action="ship",
    state=StepPhase.WAITING,
    attempt=1,
    waits_for=WaitsFor.DEPENDENCIES,
    waits_until=NOW,
    dependencies_missing=3,
    missing=(uuid4(101),),
    child_plan_id=None,
    error_code=None,
)
DONE = {
    "state": StepPhase.COMPLETED,
    "waits_for": WaitsFor.NOTHING,
    "waits_until": None,
    "dependencies_missing": 0,
    "missing": (),
}
NESTED = {
    "state": StepPhase.RUNNING,
    "attempt": 2,
    "waits_for": WaitsFor.CHILD,
    "child_plan_id": uuid4(9),
    "error_code": "FLAKY",
}
RUNNING = RunningPlan(
    plan_id=PLAN_ID,
    execution_id=EXECUTION_ID,
    parent_plan_id=uuid4(8),
    admitted_at=NOW,
    ends_at=2**62,
    limit=Limit.DEADLINE,
    steps_total=3,
    steps_completed=1,
    steps=(
        WAITING.model_copy(update=DONE),
        WAITING.model_copy(update=NESTED),
        WAITING,
    ),
)


def test_a_running_plan_is_a_line_and_a_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """U1: a line for each step, with what it waits for; no date that is none."""
    show_status(PlanStatus(asked_for=PLAN_ID, state=Known.RUNNING, running=RUNNING))
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == (
        f"running  {PLAN_ID}  execution {EXECUTION_ID}  1/3 steps  "
        f"since 2023-11-14 22:13:20Z  until {2**62} (deadline)  child of {uuid4(8)}"
    )
    done, nested, waiting = [line for line in lines if "ship" in line]
    assert "completed" in done
    assert f"child {uuid4(9)}" in nested
    assert "FLAKY" in nested
    assert f"{uuid4(101)}, 2 more" in waiting
    assert "2023-11-14 22:13:20Z" in waiting


def test_an_ended_plan_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """U1: the registry's summary."""
    show_status(PlanStatus(asked_for=PLAN_ID, state=Known.PARTIAL, ended=ENDED))
    assert capsys.readouterr().out == (
        f"partial  {PLAN_ID}  execution {EXECUTION_ID}  1/2 steps  "
        "at 2023-11-14 22:13:20Z  STEP_ERROR\n"
    )


def test_who_has_not_answered_is_said_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """U1: with the partitions; that a plan is unknown too."""
    away = PlanStatus(asked_for=PLAN_ID, state=Known.OWNER_AWAY, away=(1, 3))
    show_status(away)
    assert "the owners of partitions 1, 3 have not answered" in capsys.readouterr().err
    show_status(PlanStatus(asked_for=PLAN_ID, state=Known.UNKNOWN))
    said = capsys.readouterr()
    assert f"{PLAN_ID} is unknown" in said.err
    assert said.out == ""


def held(**members: object) -> PlanResources:
    """What an execution holds."""
    facts = {"asked_for": PLAN_ID, "state": Known.RUNNING, "coordinator": "c-1"}
    worker = WorkerHoldings(worker="w-1", running_attempts=4, window_slots=5)
    counts = {"rows": 3, "timers": 2, "pending_requests": 1, "workers": (worker,)}
    sums = {"running_attempts": 4, "window_slots": 5}
    return PlanResources.model_validate({**facts, **counts, **sums, **members})


def test_resources_are_listed_by_who_holds_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """U3: rows, timers, requests of the coordinator; attempts, slots of workers."""
    show_resources(held(workers_away=("w-2",)))
    said = capsys.readouterr()
    assert said.out.startswith(f"running  {PLAN_ID}  holds 15\n")
    rows = [line.replace("│", " ").split() for line in said.out.splitlines()]
    assert ["c-1", "3", "2", "1"] in rows
    assert ["w-1", "4", "5"] in rows
    assert "workers have not answered: w-2" in said.err


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (PlanStatus(asked_for=PLAN_ID, state=Known.PARTIAL, ended=ENDED), 0),
        (PlanStatus(asked_for=PLAN_ID, state=Known.UNKNOWN), 6),
        (PlanStatus(asked_for=PLAN_ID, state=Known.OWNER_AWAY, away=(0,)), 7),
        (held(), 0),
        (held(workers_away=("w-2",)), 7),
        (held(state=Known.UNKNOWN), 6),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_scripts_are_told_by_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    found: PlanStatus | PlanResources,
    code: int,
    as_json: bool,
) -> None:
    """U1: known, unknown, or not all have answered; JSON says all there is."""

    class Client:
        def __init__(self, *_: object, **__: object) -> None:
            """Connect to nothing."""

        async def __aenter__(self) -> Client:
            return self

        async def __aexit__(self, *_: object) -> None:
            """Leave nothing."""

        async def status(self, asked_for: str, timeout: float) -> object:
            assert (asked_for, timeout) == (PLAN_ID, 2.5)
            return found

        resources = status

    monkeypatch.setattr(cli_status, "PlanClient", Client)
    words = ["status", PLAN_ID, "--timeout", "2.5"]
    words += ["--resources"] if isinstance(found, PlanResources) else []
    words += ["--json"] if as_json else []
    said = CliRunner().invoke(app, words)
    assert said.exit_code == code
    if as_json:
        assert type(found).model_validate_json(said.output) == found


def test_what_is_no_id_is_refused() -> None:
    """U1: before anybody is asked."""
    said = CliRunner().invoke(app, ["status", "order-7"])
    assert said.exit_code == ExitCode.USAGE
    assert "'order-7' is neither a plan's nor an execution's id" in said.output
