from __future__ import annotations

import logging
from typing import Any

import pytest

from agents import StepContext
from agents.context import Environment


def test_a_sample_is_all_a_unit_test_needs() -> None:
    """Handlers are tested like any function."""
    step = StepContext.sample({"region": "eu"}, attempt=2, user_id="ada", remaining=9)
    assert step.environment["region"] == "eu"
    assert (step.attempt, step.user_id, step.correlation_context) == (2, "ada", {})
    assert 8 < step.remaining <= 9
    assert step.idempotency_key == f"{step.execution_id}:{step.step_id}"


def test_remaining_is_never_negative() -> None:
    """A span that is over is over."""
    assert StepContext.sample(remaining=-5).remaining == 0


def test_a_sample_logs_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """They go nowhere else."""
    StepContext.sample().warn("LOW_STOCK", "two left")
    assert "LOW_STOCK: two left" in caplog.text


@pytest.mark.parametrize("code", ["", "x" * 51, "STEP_SKIPPED"])
def test_codes_of_warnings_are_checked(code: str) -> None:
    """A reserved code is planstream's to give."""
    with pytest.raises(ValueError, match=r"code|reserved"):
        StepContext.sample().warn(code)


def test_the_environment_is_read_only() -> None:
    """§6.2: nothing changes a context."""
    environment: Any = Environment({"a": "1"})
    with pytest.raises(TypeError):
        environment["a"] = 2


def test_the_environment_is_a_mapping() -> None:
    """Values are parsed when they are asked for, once."""
    environment = Environment({"a": '{"deep": [1]}', "b": "2"})
    assert dict(environment) == {"a": {"deep": [1]}, "b": 2}
    assert environment["a"] is environment["a"]
    assert "b" in environment
    assert "c" not in environment
    assert environment.get("c") is None
    assert len(environment) == 2


def test_the_environment_shows_names_not_values() -> None:
    """F12: values stay out of logs."""
    assert repr(Environment({"token": '"secret"'})) == "<Environment with token>"


def test_log_records_carry_the_ids(caplog: pytest.LogCaptureFixture) -> None:
    """A log line can be found by its plan."""
    step = StepContext.sample(action="charge")
    with caplog.at_level(logging.INFO):
        step.logger.info("paid")
    record: Any = caplog.records[-1]
    assert record.name == "planstream.handlers.charge"
    assert record.plan_id == step.plan_id
    assert record.attempt == 1
