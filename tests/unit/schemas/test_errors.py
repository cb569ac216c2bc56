from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from schemas.errors import (
    MAX_CAUSES,
    RESERVED_CODES,
    SEVERITIES,
    STEP_ERROR,
    ErrorCode,
    ExecutionError,
    Severity,
    make_error,
    with_context,
    with_severity,
)
from tests.unit.schemas.factories import error, uuid4


def chain_of(error: ExecutionError | None) -> list[ExecutionError]:
    """An error and its causes, outermost first."""
    chain = []
    while error is not None:
        chain.append(error)
        error = error.cause
    return chain


def test_reserved_codes() -> None:
    """The eleven codes of §4 are reserved; STEP_ERROR is not (R6)."""
    assert len(RESERVED_CODES) == 11
    assert STEP_ERROR not in RESERVED_CODES
    assert set(SEVERITIES) == set(ErrorCode)


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("CONTEXT_MISSING", "fatal"),
        ("INVALID_PAYLOAD", "fatal"),
        ("STEP_TIMEOUT", "error"),
        ("PLAN_TIMEOUT", "fatal"),
        ("DEADLINE_EXCEEDED", "fatal"),
        ("DEPENDENCY_UNRESOLVED", "fatal"),
        ("ACTION_NOT_FOUND", "fatal"),
        ("RESOURCE_EXHAUSTED", "fatal"),
        ("EXECUTION_HALTED", "fatal"),
        ("STEP_SKIPPED", "warn"),
        ("UNKNOWN_ERROR", "fatal"),
        ("STEP_ERROR", "error"),
        ("CARD_DECLINED", "error"),
    ],
)
def test_severity_by_code(code: str, severity: str) -> None:
    """An error has the severity that §4 gives its code, `error` by default."""
    made = make_error(code, "m")
    assert made.severity == severity
    assert made.recoverable is (severity != "fatal")


@pytest.mark.parametrize("severity", list(Severity))
def test_recoverable_is_derived(severity: Severity) -> None:
    """`recoverable` follows from the severity, whichever is given (§3.1)."""
    made = make_error("X", "m", severity=severity)
    assert made.recoverable is (severity is not Severity.FATAL)
    assert with_severity(make_error("X", "m"), severity) == made


@pytest.mark.parametrize("severity", list(Severity))
def test_recoverable_is_checked(severity: Severity) -> None:
    """A record whose `recoverable` contradicts its severity is refused (§3.1)."""
    wrong = severity is Severity.FATAL
    with pytest.raises(ValidationError, match="recoverable"):
        ExecutionError.model_validate(error(severity=severity, recoverable=wrong))


@pytest.mark.parametrize("code", ["", "x" * 51])
def test_codes_have_limits(code: str) -> None:
    """A code has 1 … 50 characters (§3.1)."""
    with pytest.raises(ValueError, match="error_code"):
        make_error(code, "m")
    assert make_error("x" * 50, "m").error_code == "x" * 50


def test_message_at_the_limit() -> None:
    """A message of 1000 characters stays whole; characters are code points."""
    message = "😀" * 1000
    assert make_error("X", message).message == message


@pytest.mark.parametrize(
    "length", [1001, 1007, 1008, 1009, 1107, 2000, 10_007, 1_000_000]
)
def test_cut_message(length: int) -> None:
    """A longer message is cut to 1000 characters, telling how many went (R21)."""
    message = "".join(chr(97 + number % 26) for number in range(length))
    made = make_error("X", message).message
    kept, _, count = made.removesuffix("]").partition(" …[+")
    assert len(made) <= 1000
    assert message.startswith(kept)
    assert len(kept) + int(count) == length
    assert len(made) >= 999


def test_message_that_cannot_travel() -> None:
    """Half a surrogate pair in a message is replaced: an error must not fail."""
    assert make_error("X", "a\ud800b").message == "a?b"


def test_causes_to_the_limit() -> None:
    """A chain of sixteen errors stays whole."""
    made = make_error("X", "0")
    for number in range(1, MAX_CAUSES):
        made = make_error("X", str(number), cause=made)
    assert [each.message for each in chain_of(made)] == [
        str(number) for number in reversed(range(MAX_CAUSES))
    ]
    assert chain_of(made)[-1].context == "{}"


@pytest.mark.parametrize("surplus", [1, 2, 50])
def test_cut_causes(surplus: int) -> None:
    """A longer chain is cut at depth sixteen; the last error tells the rest (R21)."""
    made = make_error("X", "0", context={"attempt": 1})
    for number in range(1, MAX_CAUSES + surplus):
        made = make_error("X", str(number), cause=made, context={"attempt": 1})
    chain = chain_of(made)
    assert [each.message for each in chain] == [
        str(surplus + number) for number in reversed(range(MAX_CAUSES))
    ]
    assert json.loads(chain[-1].context) == {"attempt": 1, "causes_cut": surplus}
    assert chain[0].context == '{"attempt":1}'


def test_context() -> None:
    """Diagnostics are kept as JSON text, and members are added or replaced."""
    made = make_error("X", "m", step_id=uuid4(), context={"attempt": 1, "worker": "w"})
    added = with_context(made, attempt=2, frames=["f"])
    assert added.context == '{"attempt":2,"worker":"w","frames":["f"]}'
    assert made.context == '{"attempt":1,"worker":"w"}'
    assert added.step_id == uuid4()


@pytest.mark.parametrize("value", [b"x", {1}, float("nan"), "\ud800", object(), {1: 2}])
def test_diagnostics_never_fail(value: object) -> None:
    """What has no JSON form is told by its repr, beside members that have one."""
    made = make_error("X", "m", context={"bad": value, "good": [1]})
    added = with_context(make_error("X", "m"), bad=value, good=[1])
    assert made == added
    context = json.loads(made.context)
    assert context["good"] == [1]
    assert isinstance(context["bad"], str)
