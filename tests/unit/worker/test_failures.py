from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agents import ActionError
from agents.failures import Failure, failure_of
from agents.serialization import TooLarge, Unencodable
from schemas.errors import ExecutionError

STEP = "00000000-0000-4000-8000-000000000003"


def raised(exception: BaseException, cause: BaseException | None = None) -> Any:
    """The exception as it leaves a function, with a traceback."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011 (any of them)
        raise exception from cause
    return caught.value


def record_of(exception: BaseException) -> ExecutionError:
    return failure_of(exception).error(STEP)


@pytest.mark.parametrize(
    ("exception", "code", "severity"),
    [
        (ActionError("MINE", "m"), "MINE", "error"),
        (ActionError("MINE", "m", severity="fatal"), "MINE", "fatal"),
        (ActionError("STEP_ERROR"), "STEP_ERROR", "error"),
        (RuntimeError("x"), "STEP_ERROR", "error"),
        (TimeoutError(), "STEP_ERROR", "error"),
        (asyncio.CancelledError(), "STEP_ERROR", "error"),
        (SystemExit(3), "STEP_ERROR", "error"),
        (KeyboardInterrupt(), "STEP_ERROR", "error"),
        (GeneratorExit(), "STEP_ERROR", "error"),
        (RecursionError("deep"), "STEP_ERROR", "error"),
        (MemoryError(), "RESOURCE_EXHAUSTED", "fatal"),
        (Unencodable("cannot"), "UNKNOWN_ERROR", "fatal"),
        (TooLarge("is too large"), "RESOURCE_EXHAUSTED", "fatal"),
    ],
)
def test_classes(exception: BaseException, code: str, severity: str) -> None:
    """R6, R22, R26, R27: whatever leaves a handler has a code."""
    error = record_of(raised(exception))
    assert (error.error_code, error.severity) == (code, severity)
    assert error.recoverable is (severity == "error")
    assert error.step_id == STEP


def test_type_and_last_frames_are_diagnostics() -> None:
    """R6: found again in the context."""

    def dive(depth: int) -> None:
        if depth == 0:
            raise ValueError("bottom")
        dive(depth - 1)

    with pytest.raises(ValueError, match="bottom") as caught:
        dive(20)
    failure = failure_of(caught.value)
    assert failure.message == "ValueError: bottom"
    assert failure.context["exception"] == "builtins.ValueError"
    assert len(failure.context["frames"]) == 5
    assert all(frame.endswith(" in dive") for frame in failure.context["frames"])


def test_causes_are_kept() -> None:
    """`raise … from` is the cause of the record."""
    error = record_of(raised(ActionError("MINE", "m"), ValueError("why")))
    assert error.cause is not None
    assert error.cause.error_code == "STEP_ERROR"
    assert error.cause.message == "ValueError: why"


def test_chains_of_causes_are_cut() -> None:
    """R21: at depth 16, with a mark; a ring of causes ends too."""
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    error: ExecutionError | None = record_of(first)
    contexts = []
    while error is not None:
        contexts.append(error.context)
        error = error.cause
    assert len(contexts) == 16
    assert "cut" in contexts[-1]


def test_long_messages_are_cut() -> None:
    """R21: 1000 characters, the cut marked."""
    message = record_of(ActionError("MINE", "x" * 5000)).message
    assert len(message) == 1000
    assert message.endswith("]")
    assert " …[+" in message


@pytest.mark.parametrize("text", ["\ud800", "a\udc80b"])
def test_messages_that_no_record_can_carry(text: str) -> None:
    """A lone surrogate, as os.fsdecode makes them, becomes a question mark."""
    assert "?" in record_of(ActionError("MINE", text)).message
    assert "?" in record_of(ValueError(text)).message


def test_a_message_that_raises() -> None:
    """A broken __str__ is the handler's failure like any other."""

    class Rude(Exception):
        def __str__(self) -> str:
            raise SystemExit(1)

    assert "cannot be read" in record_of(Rude()).message


def test_groups_say_what_is_in_them() -> None:
    """Else a TaskGroup's failure says nothing."""
    inner = ExceptionGroup("inner", [KeyError("k")])
    group = ExceptionGroup("unhandled", [ValueError("v"), inner])
    message = record_of(group).message
    assert "ValueError: v" in message
    assert "KeyError: 'k'" in message


def test_a_handlers_own_diagnostics() -> None:
    """They stand in the error's context."""
    error = record_of(ActionError("MINE", "m", context={"issuer": "x"}))
    assert json.loads(error.context) == {"issuer": "x"}


@pytest.mark.parametrize("value", [b"bytes", {1: 2}, "x" * 20_000])
def test_diagnostics_that_cannot_be_carried(value: Any) -> None:
    """The error itself must not get lost because of them."""
    error = record_of(ActionError("MINE", "m", context={"it": value}))
    assert error.error_code == "MINE"
    assert "context_dropped" in json.loads(error.context)


def test_an_error_changed_after_it_was_built() -> None:
    """Nothing a handler does leaves a request unanswered."""
    error = ActionError("MINE", "m")
    error.code = "x" * 400
    assert record_of(error).error_code == "UNKNOWN_ERROR"


def test_failures_survive_the_way_out_of_a_child() -> None:
    """As JSON, causes included."""
    failure = failure_of(raised(ActionError("MINE", "m"), ValueError("why")))
    sent = json.loads(json.dumps(failure.as_dict()))
    assert Failure.of_dict(sent) == failure
