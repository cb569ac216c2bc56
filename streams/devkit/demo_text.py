"""What the demo says of a plan's end, for people or for programs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from schemas.results import Status
from streams.devkit.demo_progress import Tracked

NAME_WIDTH = 9
STYLES = {Status.SUCCESS: "green", Status.PARTIAL: "yellow", Status.FAILURE: "red"}


def heading(plan: Tracked) -> Text:
    """Say in one line how a plan ended, and where its result lies."""
    name = f"{plan.name:<{NAME_WIDTH}}"
    if plan.received is None:
        word = "no result" if plan.rejected is None else "rejected"
        return Text.assemble(name, (word, "bold red"))
    result = plan.received.result
    steps = f"{result.steps_executed} of {result.steps_total} steps"
    took = f"{result.duration_ms / 1000:.2f} s"
    style = f"bold {STYLES[result.status]}"
    rest = f"{steps:<15}{took:>7}  {plan.received.topic}"
    return Text.assemble(name, (f"{result.status:<8}", style), rest)


def particulars(plan: Tracked) -> Iterator[Text]:
    """Say why it ended so, and what it has left."""
    if (surprise := plan.surprise) is not None:
        yield Text(f"not as expected: it {surprise}", "bold red")
    if plan.demo.purpose:
        yield Text(f"on purpose: {plan.demo.purpose}", "dim")
    for number, error in enumerate(plan.causes()):
        because = "because of " if number else ""
        step = plan.step_name(error.step_id)
        message = plan.named(error.message)
        where = "" if number or step in message else f" in {step}"
        yield Text(f"{because}{error.error_code}{where}: {message}")
    for step, failed in plan.retried().items():
        last = failed[-1]
        yield Text(
            f"{step} took {len(failed) + 1} attempts; {last.code}: {last.message}"
        )
    if found := plan.returned("merge"):
        yield Text(
            f"{found['files']:,} files, {found['lines']:,} lines,"
            f" {found['functions']:,} functions, {found['classes']:,} classes"
        )
    if (report := plan.report) is not None:
        yield Text(f"report: {shown(report)}")


def facts(plan: Tracked) -> dict[str, Any]:
    """Say all that, for programs."""
    found: dict[str, Any] = {
        "plan": plan.name,
        "plan_id": plan.submitted.plan_id,
        "execution_id": plan.submitted.execution_id,
        "expected": plan.demo.expected.status,
        "surprise": plan.surprise,
        "status": None,
    }
    if plan.received is not None:
        result = plan.received.result
        found |= {
            "status": result.status,
            "topic": plan.received.topic,
            "partition": plan.received.partition,
            "offset": plan.received.offset,
            "steps_executed": result.steps_executed,
            "steps_total": result.steps_total,
            "duration_ms": result.duration_ms,
            "errors": [
                {
                    "code": error.error_code,
                    "message": error.message,
                    "severity": error.severity,
                    "step": plan.step_name(error.step_id),
                }
                for error in plan.causes()
            ],
            "attempts": {
                step: len(failed) + 1 for step, failed in plan.retried().items()
            },
            "report": None if plan.report is None else str(plan.report),
        }
    return found


def shown(path: Path) -> str:
    """Write a path as people do: from the working directory, if it is below."""
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return os.fspath(path)
