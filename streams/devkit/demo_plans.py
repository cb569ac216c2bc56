"""The plans of the demo, and how each of them has to end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.errors import ErrorCode
from schemas.results import Status

TWINS_TIMEOUT_MS = 2_000
PLAN_TIMEOUT_MS = 60_000
RETRY_POLICY = {
    "max_attempts": 8,
    "backoff_ms": 300,
    "backoff_multiplier": 2.0,
    "retryable_error_codes": ["REPORT_LOCKED"],
}
LEGACY_FILE = "mailer.py"
LEGACY_SOURCE = '''\
"""Tells everybody the news."""
import smtplib

def send(sender, addresses, news):
    server = smtplib.SMTP("localhost")
    for address in addresses:
        print "to", address
        server.sendmail(sender, address, news)
'''
"""A script of the days of Python 2; nothing newer can parse it."""

Step = dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """How a plan has to end."""

    status: Status
    codes: tuple[str, ...] = ()
    """Its error's code, and those of the causes."""
    retried: str | None = None
    """The step that must have taken more than one attempt."""


@dataclass(frozen=True)
class DemoPlan:
    """A plan, and how it has to end."""

    name: str
    plan: Mapping[str, Any]
    purpose: str = ""
    """What it shows, where that is more than a success."""
    expected: Expected = Expected(Status.SUCCESS)
    reports: bool = True
    """Whether it leaves a report."""
    locked: bool = False
    """Whether another program has its report open at first."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What lies beside the plan, by name."""


def demo_plans() -> tuple[DemoPlan, ...]:
    """List the plans, those that succeed first."""
    return (
        *(_package(name) for name in ("json", "http", "asyncio")),
        _whole_library(),
        _with_locked_report(),
        _with_legacy_script(),
        _with_timeout(),
    )


def environment(library: Path, workspace: Path, reports: Path) -> dict[str, str]:
    """Name the directories that the handlers work on."""
    return {
        "library": str(library),
        "workspace": str(workspace),
        "reports": str(reports),
    }


def _whole_library() -> DemoPlan:
    """Takes longest: those that take less go first, wherever they have to wait."""
    steps = _measuring("library", "", 16)
    return DemoPlan("library", {**_plan("library", steps), "priority": 0})


def _package(name: str) -> DemoPlan:
    return DemoPlan(name, _plan(name, _measuring(name, name, 2)))


def _with_legacy_script() -> DemoPlan:
    """Ends in `partial`: nothing depends on the step that is passed over."""
    steps = _measuring("email", "email", 2)
    legacy = _step("legacy", "measure-file", file=f"plans/{LEGACY_FILE}")
    steps.insert(1, {**legacy, "on_failure": "skip"})
    codes = (ErrorCode.STEP_SKIPPED, "NOT_PYTHON")
    return DemoPlan(
        "email",
        _plan("email", steps),
        "one step fails on a script in Python 2, and is skipped",
        Expected(Status.PARTIAL, codes),
        files={LEGACY_FILE: LEGACY_SOURCE},
    )


def _with_locked_report() -> DemoPlan:
    """Is tried again until the demo itself lets go of the report."""
    plan = _plan("logging", _measuring("logging", "logging", 2))
    expected = Expected(Status.SUCCESS, retried="report")
    purpose = "its report is open in another program at first"
    return DemoPlan("logging", plan, purpose, expected, locked=True)


def _with_timeout() -> DemoPlan:
    """Fails: one step would take far longer than it may."""
    steps = [
        _step("find", "find-modules", package=""),
        {
            **_step("compare", "find-twins", "find"),
            "timeout_ms": TWINS_TIMEOUT_MS,
        },
        _step("report", "write-report", "compare", title="twins"),
    ]
    codes = (ErrorCode.STEP_TIMEOUT,)
    expected = Expected(Status.FAILURE, codes)
    purpose = f"one step would take minutes, and may take {TWINS_TIMEOUT_MS // 1000} s"
    return DemoPlan("twins", _plan("twins", steps), purpose, expected, reports=False)


def _measuring(title: str, package: str, groups: int) -> list[Step]:
    """Find, measure group by group at the same time, merge, report."""
    measures = [f"measure-{number}" for number in range(groups)]
    return [
        _step("find", "find-modules", package=package, groups=groups),
        *(
            _step(name, "measure-modules", "find", group=number)
            for number, name in enumerate(measures)
        ),
        _step("merge", "merge-measures", *measures),
        {
            **_step("report", "write-report", "merge", title=title),
            "on_failure": "retry",
        },
    ]


def _step(name: str, action: str, *depends_on: str, **payload: Any) -> Step:
    return {
        "id": name,
        "action": action,
        "payload": payload,
        "depends_on": list(depends_on),
    }


def _plan(name: str, steps: list[Step]) -> dict[str, Any]:
    return {
        "name": f"demo: {name}",
        "context_requirements": ["library", "workspace", "reports"],
        "priority": 1,
        "timeout_ms": PLAN_TIMEOUT_MS,
        "retry_policy": RETRY_POLICY,
        "tags": ["demo"],
        "steps": steps,
    }
