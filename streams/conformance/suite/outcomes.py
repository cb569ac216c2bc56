"""How plans end: success, partial and failure, retry, skip and halt (§4, §5)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

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
    fails,
    gives,
    named,
    sleeps,
    step,
    submission,
    warns,
)

NEVER: Final = fails("NO_CARD")
POLICIES: Final = ("halt", "skip", "retry")
RETRIED: Final = {"max_attempts": 3, "retryable_error_codes": ["BUSY"]}


def successes() -> Iterator[Case]:
    """§5.1, R3, R9: everything completes."""
    yield case(
        "a chain whose steps stand in reverse",
        "§1 §3 §5.1 R3 R9",
        submission(
            step("c", gives(3), after=("b",)),
            step("b", gives(2), after=("a",)),
            step("a", gives(1)),
        ),
        success(
            results={"a": 1, "b": 2, "c": 3},
            log={"a": ("ok",), "b": ("ok",), "c": ("ok",)},
            incomplete=frozenset(),
            warnings=(),
            total=3,
        ),
        in_order("a", "b", "c"),
    )
    yield case(
        "a diamond",
        "§5.1 R9",
        submission(
            step("a"),
            step("b", sleeps(300), after=("a",)),
            step("c", sleeps(300), after=("a",)),
            step("d", after=("b", "c")),
        ),
        success(total=4),
        in_order("a", "b", "d"),
        in_order("a", "c", "d"),
    )
    yield case(
        "a dependency named twice",
        "§1 R34",
        submission(step("a"), step("b", gives(None), after=("a", "a"))),
        success(results={"a": ANY, "b": None}),
    )
    yield case(
        "a warning",
        "R6 R41",
        submission(step("a", [*warns("SLOW", "took its time"), *gives(1)])),
        success(results={"a": 1}, warnings=(("a", "SLOW"),)),
    )
    yield case(
        "a retry that succeeds",
        "§4 §5.1 §1.1",
        submission(
            step("a", fails("BUSY"), fails("BUSY"), gives(3), on_failure="retry"),
            retry_policy=RETRIED,
        ),
        success(results={"a": 3}, log={"a": ("BUSY", "BUSY", "ok")}),
    )


def in_order(*names: str) -> Check:
    """Each of these steps began after the one before it had completed."""

    def check(finding: Finding) -> Iterator[str]:
        done = finding.seen.succeeded()
        for first, second in itertools.pairwise(names):
            ended = done[named(first)][0].ended_at
            began = done[named(second)][0].started_at
            if began < ended:
                yield f"{second} began {ended - began} ms before {first} had ended"

    return check


def policies() -> Iterator[Case]:
    """§4's rules 1 to 4, R5, R7, R8, R12, R17, R18, R19: each policy, each verdict."""
    cause = Err("NO_CARD", "error", "bad")
    skipped = Err("STEP_SKIPPED", "warn", "bad", cause)
    yield case(
        "halt",
        "§4 §5.3 R2 R3 R5",
        submission(
            step("a", gives(1)),
            step("bad", NEVER, after=("a",)),
            step("never", after=("bad",)),
        ),
        failure(
            Err("EXECUTION_HALTED", step="bad", cause=cause),
            results={"a": 1},
            log={"a": ("ok",), "bad": ("NO_CARD",)},
            incomplete=frozenset({"bad", "never"}),
            total=3,
        ),
    )
    yield case(
        "skip",
        "§4 §5.2 R17 R3",
        submission(step("a", gives(1)), step("bad", NEVER, on_failure="skip")),
        partial(
            skipped,
            results={"a": 1},
            log={"a": ("ok",), "bad": ("NO_CARD",)},
            incomplete=frozenset({"bad"}),
            warnings=(("bad", "STEP_SKIPPED"),),
            total=2,
        ),
    )
    yield case(
        "retry, not listed",
        "§4 §5.2 R17",
        submission(
            step("a"), step("bad", NEVER, on_failure="retry"), retry_policy=RETRIED
        ),
        partial(cause, log={"a": ("ok",), "bad": ("NO_CARD",)}, warnings=()),
    )
    yield case(
        "retry, nothing listed",
        "§4 R7",
        submission(
            step("a"),
            step("bad", NEVER, on_failure="retry"),
            retry_policy={"max_attempts": 5},
        ),
        partial(cause, log={"a": ("ok",), "bad": ("NO_CARD",)}),
    )
    yield case(
        "retry, exhausted",
        "§4 §5.2 R17",
        submission(
            step("a"),
            step("bad", fails("BUSY"), on_failure="retry"),
            retry_policy=RETRIED,
        ),
        partial(Err("BUSY", "error", "bad"), log={"a": ("ok",), "bad": ("BUSY",) * 3}),
        earlier_attempts(2),
    )
    yield case(
        "retry, a code that is not listed after one that is",
        "§4",
        submission(
            step("a"),
            step("bad", fails("BUSY"), NEVER, on_failure="retry"),
            retry_policy=RETRIED,
        ),
        partial(cause, log={"a": ("ok",), "bad": ("BUSY", "NO_CARD")}),
        earlier_attempts(1),
    )
    for policy in ("halt", "skip"):
        listed = Err("BUSY", "error", "bad")
        halted = policy == "halt"
        yield case(
            f"{policy} is not retried, whatever is listed",
            "§4",
            submission(
                step("a", gives(1)),
                step("bad", fails("BUSY"), after=("a",), on_failure=policy),
                retry_policy=RETRIED,
            ),
            (failure if halted else partial)(
                Err("EXECUTION_HALTED", step="bad", cause=listed)
                if halted
                else Err("STEP_SKIPPED", "warn", "bad", listed),
                log={"a": ("ok",), "bad": ("BUSY",)},
            ),
        )
    for policy in POLICIES:
        yield case(
            f"a fatal error under {policy}",
            "§4 §5.3 R5",
            submission(
                step("a", gives(1)),
                step(
                    "bad",
                    fails("BUSY", severity="fatal"),
                    after=("a",),
                    on_failure=policy,
                ),
                retry_policy=RETRIED,
            ),
            failure(
                Err("BUSY", step="bad"),
                results={"a": 1},
                log={"a": ("ok",), "bad": ("BUSY",)},
            ),
        )


def earlier_attempts(count: int) -> Check:
    """R17: the errors of the attempts before the last are in the error's context."""

    def check(finding: Finding) -> Iterator[str]:
        error = finding.seen.results[0].error
        attempts = [] if error is None else context_of(error).get("attempts", [])
        if [each["error_code"] for each in attempts] != ["BUSY"] * count:
            yield f"R17: the earlier attempts are {attempts}"

    return check


def dependants() -> Iterator[Case]:
    """R8, R18: a step whose dependency did not complete ends the plan at once."""
    own = Err("NO_CARD", "error", "bad")
    causes = {"skip": Err("STEP_SKIPPED", "warn", "bad", own), "retry": own}
    for policy, cause in causes.items():
        yield case(
            f"a dependency that {policy} gave up",
            "§4 §5.3 R8 R18",
            submission(
                step("slow", sleeps(60_000)),
                step("first", after=("bad",)),
                step("second", after=("bad", "slow")),
                step("bad", NEVER, on_failure=policy),
            ),
            failure(
                Err("DEPENDENCY_UNRESOLVED", step="first", cause=cause),
                results={},
                log={"bad": ("NO_CARD",)},
                incomplete=frozenset({"slow", "first", "second", "bad"}),
            ),
        )


def nothing_completed() -> Iterator[Case]:
    """R11, R12, R19: nothing completes; and which failure is shown, of several."""
    for policy in ("skip", "retry"):
        own = Err("NO_CARD", "error", "bad")
        primary = Err("STEP_SKIPPED", "warn", "bad", own) if policy == "skip" else own
        yield case(
            f"one step, {policy}",
            "R12 R17 §5.3",
            submission(step("bad", NEVER, on_failure=policy)),
            failure(
                Err("EXECUTION_HALTED", step="bad", cause=primary),
                results={},
                incomplete=frozenset({"bad"}),
            ),
        )
    later = [*sleeps(1500), *fails("LATER")]
    primary = Err("STEP_SKIPPED", "warn", "bad", Err("NO_CARD", "error", "bad"))
    listed = Err("LATER", "error", "late")
    first = step("bad", NEVER, on_failure="skip")
    late = step("late", later, on_failure="retry")
    yield case(
        "two failures and a success",
        "R11 R19 §5.2",
        submission(step("a"), late, first),
        partial(
            Err("STEP_SKIPPED", "warn", "bad", primary.cause, others=(listed,)),
            incomplete=frozenset({"bad", "late"}),
        ),
        phase=Phase.QUIET,
    )
    yield case(
        "two failures and no success",
        "R11 R12 R19 §5.3",
        submission(late, first),
        failure(
            Err("EXECUTION_HALTED", step="bad", cause=primary, others=(listed,)),
            results={},
        ),
        phase=Phase.QUIET,
    )
    yield case(
        "a failure before the one that halts",
        "R19 R5 §5.3",
        submission(
            first,
            step("pause", sleeps(1500)),
            step("end", fails("LAST"), after=("pause",)),
        ),
        failure(
            Err(
                "EXECUTION_HALTED",
                step="end",
                cause=Err("LAST", "error", "end"),
                others=(Err("STEP_SKIPPED", "warn", "bad"),),
            )
        ),
        phase=Phase.QUIET,
    )
    yield case(
        "two that halt at one moment",
        "R24",
        submission(step("a", fails("ONE")), step("b", fails("TWO"))),
        failure(Err("EXECUTION_HALTED", step=ANY, cause=ANY)),
        first_folded,
    )
    many = [step(f"bad {number}", NEVER, on_failure="skip") for number in range(60)]
    yield case(
        "sixty failures",
        "R11 R19",
        submission(step("a"), *many),
        partial(Err("STEP_SKIPPED", "warn", ANY, ANY, others=None)),
        fifty_of_sixty,
    )


def first_folded(finding: Finding) -> Iterator[str]:
    """R24: the first outcome in the log is the one that counts."""
    error = finding.seen.results[0].error
    first = finding.seen.failed()[0].step_id
    if error is None or error.step_id != first:
        yield f"R24: the first failure in the log is of {first}"


def fifty_of_sixty(finding: Finding) -> Iterator[str]:
    """R11: at most fifty others are listed, all are counted."""
    error = finding.seen.results[0].error
    context: dict[str, Any] = {} if error is None else context_of(error)
    found = (len(context.get("errors", ())), context.get("errors_total"))
    if found != (50, 60):
        yield f"R11: {found[0]} other errors of {found[1]}, not 50 of 60"


def outcomes() -> Iterator[Case]:
    """All of these."""
    for make in (
        successes,
        policies,
        dependants,
        nothing_completed,
    ):
        yield from make()
