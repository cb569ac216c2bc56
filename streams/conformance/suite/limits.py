"""Time: backoffs, step timeouts, plan timeouts, deadlines (§1.1, R4, R10, R20, R31)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from schemas.steps import StepFailed, StepSucceeded
from streams.conformance.cases import (
    ANY,
    Case,
    Check,
    Err,
    Finding,
    Phase,
    case,
    failure,
    partial,
    success,
)
from streams.conformance.ends import context_of
from streams.conformance.making import (
    NOBODYS,
    PLAIN,
    In,
    Raw,
    fails,
    gives,
    named,
    sleeps,
    step,
    submission,
)

SLACK_MS: Final = 4_000
"""How much later than due an attempt may start: machines are busy."""
ROUNDING_MS: Final = 2
_LIMIT_MS: Final = 4_000
FOREVER: Final = sleeps(120_000)


def backoffs() -> Iterator[Case]:
    """§1.1, R31: the pause before each attempt, with its multiplier and its cap."""
    table: tuple[tuple[str, dict[str, Any], tuple[int, ...]], ...] = (
        ("none", {}, (0, 0, 0)),
        ("the same each time", {"backoff_ms": 300}, (300, 300, 300)),
        (
            "a hundred times as long",
            {"backoff_ms": 60, "backoff_multiplier": 100.0, "max_backoff_ms": 6_000},
            (60, 6_000, 6_000),
        ),
        (
            "a cap below the first",
            {"backoff_ms": 60_000, "max_backoff_ms": 200},
            (200, 200, 200),
        ),
        (
            "beyond all numbers",
            {
                "backoff_ms": 1,
                "backoff_multiplier": Raw("1e300"),
                "max_backoff_ms": 500,
            },
            (1, 500, 500),
        ),
        ("a cap of 0", {"backoff_ms": 60_000, "max_backoff_ms": 0}, (0, 0, 0)),
        (
            "floored",
            {"backoff_ms": 3, "backoff_multiplier": 1.5, "max_backoff_ms": 60_000},
            (3, 4, 6),
        ),
    )
    for name, policy, delays in table:
        yield case(
            f"backoff: {name}",
            "§1.1 R31",
            submission(
                step("a", *[fails("BUSY")] * 3, gives(4), on_failure="retry"),
                retry_policy={
                    "max_attempts": 4,
                    "retryable_error_codes": ["BUSY"],
                    **policy,
                },
            ),
            success(results={"a": 4}, log={"a": ("BUSY", "BUSY", "BUSY", "ok")}),
            pauses(*delays),
            phase=Phase.QUIET,
        )


def pauses(*delays: int) -> Check:
    """Between the end of each attempt and the start of the next lies its delay."""

    def check(finding: Finding) -> Iterator[str]:
        attempts: dict[int, StepFailed | StepSucceeded] = {}
        for each in finding.seen.outcomes:
            if isinstance(each, StepFailed | StepSucceeded):
                attempts.setdefault(each.attempt, each)
        for number, delay in enumerate(delays, 1):
            pause = attempts[number + 1].started_at - attempts[number].ended_at
            if not delay - ROUNDING_MS <= pause < delay + SLACK_MS:
                yield f"§1.1: {pause} ms before attempt {number + 1}, not {delay}"

    return check


def step_timeouts() -> Iterator[Case]:
    """R4, R10, R31, §6.9: the limits of steps."""
    for policy in ("halt", "skip", "retry"):
        yield case(
            f"a step's timeout that is not listed, under {policy}",
            "§4 R4 §6.9",
            submission(
                step("a", gives(1)),
                step("slow", FOREVER, after=("a",), timeout_ms=300, on_failure=policy),
            ),
            failure(
                Err("STEP_TIMEOUT", step="slow"),
                results={"a": 1},
                log={"a": ("ok",), "slow": ("STEP_TIMEOUT",)},
            ),
        )
    listed = {"retryable_error_codes": ["STEP_TIMEOUT"]}
    own = Err("STEP_TIMEOUT", "error", "slow")
    verdicts = {
        "halt": failure(Err("EXECUTION_HALTED", step="slow", cause=own)),
        "skip": partial(Err("STEP_SKIPPED", "warn", "slow", own)),
        "retry": partial(own),
    }
    for policy, expected in verdicts.items():
        yield case(
            f"a step's timeout that is listed, under {policy}",
            "§4 R4",
            submission(
                step("a"),
                step("slow", FOREVER, after=("a",), timeout_ms=300, on_failure=policy),
                retry_policy=listed,
            ),
            expected,
        )
    yield case(
        "a step's timeout that is retried",
        "R4 §4",
        submission(
            step("slow", FOREVER, gives(2), timeout_ms=500, on_failure="retry"),
            retry_policy={**listed, "max_attempts": 2},
        ),
        success(results={"slow": 2}, log={"slow": ("STEP_TIMEOUT", "ok")}),
    )
    yield case(
        "the timeout of a plain function",
        "§6.9 §4",
        submission(step("slow", action=PLAIN, payload={"ms": 60_000}, timeout_ms=500)),
        failure(Err("STEP_TIMEOUT", step="slow")),
    )
    queue = [
        step(f"s{number}", action=PLAIN, payload={"ms": 250}, timeout_ms=3000)
        for number in range(60)
    ]
    yield case(
        "waiting does not count against a step's timeout",
        "R10",
        submission(*queue),
        success(total=60),
        phase=Phase.QUIET,
    )


def plan_limits() -> Iterator[Case]:
    """R10, R20, R23, R31: the limits of plans."""
    for name, slow in (
        ("a step that inherits it", step("slow", FOREVER)),
        ("a step with a longer one", step("slow", FOREVER, timeout_ms=100_000)),
        ("a step that nobody serves", step("slow", action=NOBODYS)),
    ):
        yield case(
            f"the plan's timeout ends {name}",
            "§4 §5.3 R10 R20 R31" + (" R23 §6.4" if "nobody" in name else ""),
            submission(step("a", gives(1)), slow, timeout_ms=_LIMIT_MS),
            failure(Err("PLAN_TIMEOUT"), results={"a": 1}),
            _in_flight("slow"),
            took(_LIMIT_MS),
            phase=Phase.QUIET,
        )
    yield case(
        "a backoff that passes the plan's limit",
        "R31 R10",
        submission(
            step("a", gives(1)),
            step("b", fails("BUSY"), on_failure="retry"),
            timeout_ms=_LIMIT_MS,
            retry_policy={
                "max_attempts": 2,
                "backoff_ms": 50_000,
                "retryable_error_codes": ["BUSY"],
            },
        ),
        failure(Err("PLAN_TIMEOUT"), results={"a": 1}),
        took(_LIMIT_MS),
        phase=Phase.QUIET,
    )
    for name, timeout_ms, code in (
        ("its deadline first", _LIMIT_MS + 400, "DEADLINE_EXCEEDED"),
        ("a deadline with a start long ago", 60_000, "DEADLINE_EXCEEDED"),
    ):
        yield case(
            f"a plan that has {name}",
            "§4 §5.3 R10 R20 R31",
            submission(
                step("a", gives(1)),
                step("slow", FOREVER),
                timeout_ms=timeout_ms,
                members={"started_at": In(-60_000), "deadline_ms": In(_LIMIT_MS)},
            ),
            failure(Err(code), results={"a": 1}),
            _in_flight("slow"),
            phase=Phase.QUIET,
        )


def _in_flight(*names: str) -> Check:
    """R20: the attempts that a limit cuts off are in its error's context."""

    def check(finding: Finding) -> Iterator[str]:
        error = finding.seen.results[0].error
        listed = [] if error is None else context_of(error).get("in_flight", [])
        wanted = [{"step_id": named(name), "attempt": 1} for name in names]
        if listed != wanted:
            yield f"R20: in flight are {listed}, not {wanted}"

    return check


def took(limit_ms: int) -> Check:
    """The plan ended at its limit, counted from admission: not before it."""

    def check(finding: Finding) -> Iterator[str]:
        lasted = finding.seen.results[0].completed_at - finding.sent_at[0]
        if not limit_ms <= lasted < limit_ms + 20_000:
            yield f"R10: the limit of {limit_ms} ms ended the plan after {lasted} ms"

    return check


def starts() -> Iterator[Case]:
    """R32: starts in the future and long ago."""
    hour = 3_600_000
    future = submission(
        step("a"), members={"started_at": In(hour), "deadline_ms": In(2 * hour)}
    )

    def no_duration(finding: Finding) -> Iterator[str]:
        if finding.seen.results[0].duration_ms != 0:
            yield "R32: a start in the future gives a duration"

    yield case("a start in the future", "R32 §3", future, success(), no_duration)
    yield case(
        "a start an hour ago",
        "R32 §3 R10",
        submission(step("a"), members={"started_at": In(-hour)}),
        success(results={"a": ANY}),
    )


def limits() -> Iterator[Case]:
    """All of these."""
    for make in (backoffs, step_timeouts, plan_limits, starts):
        yield from make()
