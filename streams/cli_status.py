"""Shows what is known of a plan (U1), and what its execution holds (U3)."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.table import Table

from schemas.status import EndedPlan, RunningPlan, StepStatus, WaitsFor
from schemas.validation import is_uuid4
from streams.cli_loop import run_async
from streams.cli_output import ExitCode, complain
from streams.cli_printing import one_line
from streams.client import PlanClient
from streams.config import Settings
from streams.exceptions import SettingsError
from streams.status import Known, PlanResources, PlanStatus

IN_A_PIPE = 300
"""Columns, where nobody says how many there are; a table takes what it needs."""


def run(
    settings: Settings,
    asked_for: str,
    resources: bool,
    timeout: float,
    *,
    as_json: bool,
) -> int:
    """Ask, and print the answer; return the exit code.

    Raises:
        SettingsError: It is no id.
    """
    if not is_uuid4(asked_for):
        line = f"{asked_for!r} is neither a plan's nor an execution's id"
        raise SettingsError([line])
    show = _resources if resources else _status
    return run_async(show(settings, asked_for, timeout, as_json=as_json))


async def _status(
    settings: Settings, asked_for: str, timeout: float, *, as_json: bool
) -> ExitCode:
    async with PlanClient(settings, results=False) as client:
        found = await client.status(asked_for, timeout)
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        show_status(found)
    return _code(found)


async def _resources(
    settings: Settings, asked_for: str, timeout: float, *, as_json: bool
) -> ExitCode:
    async with PlanClient(settings, results=False) as client:
        held = await client.resources(asked_for, timeout)
    if as_json:
        typer.echo(held.model_dump_json())
    else:
        show_resources(held)
    return ExitCode.OWNER_AWAY if held.workers_away else _code(held)


def _code(found: PlanStatus | PlanResources) -> ExitCode:
    codes = {Known.UNKNOWN: ExitCode.UNKNOWN, Known.OWNER_AWAY: ExitCode.OWNER_AWAY}
    return codes.get(found.state, ExitCode.OK)


def show_status(found: PlanStatus) -> None:
    """Print what is known of a plan, with a line for each step of a running one."""
    _say_unknown(found)
    if found.ended is not None:
        typer.echo(_summary(found.ended))
    if found.running is not None:
        typer.echo(_head(found.running))
        _print(_steps(found.running))


def show_resources(held: PlanResources) -> None:
    """Print what an execution holds, with a line for each place and kind."""
    _say_unknown(held)
    if held.workers_away:
        complain(f"workers have not answered: {', '.join(held.workers_away)}")
    table = Table("where", "rows", "timers", "requests", "attempts", "slots")
    if held.coordinator is not None:
        counts = map(str, (held.rows, held.timers, held.pending_requests))
        table.add_row(held.coordinator, *counts, "", "")
    for each in held.workers:
        counts = map(str, (each.running_attempts, each.window_slots))
        table.add_row(each.worker, "", "", "", *counts)
    typer.echo(f"{held.state}  {held.asked_for}  holds {held.total}")
    _print(table)


def _say_unknown(found: PlanStatus | PlanResources) -> None:
    if found.state is Known.UNKNOWN:
        complain(f"{found.asked_for} is unknown: nobody has admitted it, or remembers")
    if found.state is Known.OWNER_AWAY:
        numbers = ", ".join(map(str, found.away))
        complain(
            f"nobody who answered knows {found.asked_for}; "
            f"the owners of partitions {numbers} have not answered"
        )


def _summary(plan: EndedPlan) -> str:
    error = "" if plan.error_code is None else f"  {plan.error_code}"
    return (
        f"{plan.status}  {plan.plan_id}  execution {plan.execution_id}  "
        f"{plan.steps_executed}/{plan.steps_total} steps  "
        f"at {_time(plan.completed_at)}{error}"
    )


def _head(plan: RunningPlan) -> str:
    child = "" if plan.parent_plan_id is None else f"  child of {plan.parent_plan_id}"
    return (
        f"running  {plan.plan_id}  execution {plan.execution_id}  "
        f"{plan.steps_completed}/{plan.steps_total} steps  "
        f"since {_time(plan.admitted_at)}  "
        f"until {_time(plan.ends_at)} ({plan.limit}){child}"
    )


def _steps(plan: RunningPlan) -> Table:
    table = Table("step", "action", "state", "attempt", "waits for", "until", "error")
    for each in plan.steps:
        until = "" if each.waits_until is None else _time(each.waits_until)
        table.add_row(
            each.step_id,
            one_line(each.action),
            each.state,
            str(each.attempt),
            _wait(each),
            until,
            one_line(each.error_code or ""),
        )
    return table


def _wait(step: StepStatus) -> str:
    match step.waits_for:
        case WaitsFor.NOTHING:
            return ""
        case WaitsFor.CHILD:
            return f"child {step.child_plan_id}"
        case WaitsFor.DEPENDENCIES:
            left = step.dependencies_missing - len(step.missing)
            more = [f"{left} more"] if left > 0 else []
            return ", ".join([*step.missing, *more])
        case _:
            return str(step.waits_for)


def _time(ms: int) -> str:
    """An instant for people; one too far away for a calendar as its number."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError):
        return str(ms)


def _print(table: Table) -> None:
    """Print a table: whole ids in a pipe, and folded ones in a narrow terminal."""
    for column in table.columns:
        column.overflow = "fold"
    width = None if sys.stdout.isatty() else IN_A_PIPE
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    console.print(table)
