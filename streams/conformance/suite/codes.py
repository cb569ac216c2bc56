"""Codes of a handler's own, and exceptions without one (R6, R25, R26)."""

from __future__ import annotations

from collections.abc import Iterator

from streams.conformance.cases import Case, Err, case, failure, success
from streams.conformance.making import fails, gives, raises, step, submission


def codes() -> Iterator[Case]:
    """R6, R25: codes of a handler's own, and exceptions without one."""
    for length in (1, 50):
        code = "C" * length
        yield case(
            f"a code of {length} characters",
            "§3.1 §4 R25",
            submission(step("a", fails(code))),
            failure(Err("EXECUTION_HALTED", step="a", cause=Err(code, "error", "a"))),
        )
    unfit = ("", "C" * 51, "STEP_TIMEOUT", "UNKNOWN_ERROR", "STEP_SKIPPED")
    wrong = Err("EXECUTION_HALTED", step="a", cause=Err("STEP_ERROR", "error", "a"))
    for code in unfit:
        yield case(
            f"the code {code:.20} of {len(code)} characters",
            "R25",
            submission(step("a", fails(code))),
            failure(wrong),
        )
    yield case(
        "the severity warn",
        "R25 R6",
        submission(step("a", fails("MINE", severity="warn"))),
        failure(wrong),
    )
    for kind in (
        *("KeyError", "BaseException", "SystemExit", "KeyboardInterrupt"),
        *("TimeoutError", "CancelledError", "GeneratorExit"),
    ):
        yield case(
            f"a handler raises {kind}",
            "R6 R26",
            submission(step("a", raises(kind))),
            failure(wrong),
        )
    yield case(
        "STEP_ERROR is retried when listed",
        "R6 R25",
        submission(
            step("a", raises("ValueError"), gives(2), on_failure="retry"),
            retry_policy={"max_attempts": 2, "retryable_error_codes": ["STEP_ERROR"]},
        ),
        success(results={"a": 2}, log={"a": ("STEP_ERROR", "ok")}),
    )
