"""What becomes of what handlers return, raise and report."""

from __future__ import annotations

import json

import pytest

from agents.scheduling import Position
from tests.unit.worker.harness import TOPIC, bench, eventually, in_loop
from tests.unit.worker.quick import registry

PARTITION = (TOPIC, 0)


@pytest.mark.parametrize(
    ("what", "code", "severity"),
    [
        ("action", "MINE", "error"),
        ("fatal", "MINE", "fatal"),
        ("value", "STEP_ERROR", "error"),
        ("reserved", "STEP_ERROR", "error"),
        ("cancelled", "STEP_ERROR", "error"),
        ("exit", "STEP_ERROR", "error"),
        ("interrupt", "STEP_ERROR", "error"),
        ("timeout", "STEP_ERROR", "error"),
        ("generator", "STEP_ERROR", "error"),
        ("memory", "RESOURCE_EXHAUSTED", "fatal"),
    ],
)
@in_loop
async def test_whatever_leaves_a_handler_fails_its_step(
    what: str, code: str, severity: str
) -> None:
    """R6, R25, R26: and the worker goes on."""
    async with bench(registry) as b:
        outcome = await b.run("raise", {"what": what})
        assert (outcome.error.error_code, outcome.error.severity) == (code, severity)
        assert outcome.error.step_id == outcome.step_id
        context = json.loads(outcome.error.context)
        assert context["attempt"] == 1
        assert context["worker"] == "worker-1"
        assert context["started_at"] <= context["ended_at"]
        assert (await b.run("echo")).result == "{}"
        assert b.fatal == []


@in_loop
async def test_diagnostics_of_an_exception() -> None:
    """R21: type and frames, the handler's own ones."""
    async with bench(registry) as b:
        context = json.loads((await b.run("raise", {"what": "value"})).error.context)
        assert context["exception"] == "builtins.ValueError"
        assert [each.rsplit(" in ")[1] for each in context["frames"]] == ["raise_what"]
        context = json.loads((await b.run("raise", {"what": "action"})).error.context)
        assert context["more"] == 1


@in_loop
async def test_a_handler_that_cancels_itself_fails() -> None:
    """R26: a cancellation that the worker did not cause."""
    async with bench(registry) as b:
        outcome = await b.run("cancel-oneself")
        assert outcome.error.error_code == "STEP_ERROR"
        assert (await b.run("echo")).result == "{}"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("nan", "UNKNOWN_ERROR"),
        ("bytes", "UNKNOWN_ERROR"),
        ("set", "UNKNOWN_ERROR"),
        ("keys", "UNKNOWN_ERROR"),
        ("surrogate", "UNKNOWN_ERROR"),
        ("large", "RESOURCE_EXHAUSTED"),
    ],
)
@in_loop
async def test_results_that_cannot_be_sent(what: str, code: str) -> None:
    """R22, R27: the step fails, fatally."""
    async with bench(registry) as b:
        error = (await b.run("return", {"what": what})).error
        assert (error.error_code, error.severity) == (code, "fatal")


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("none", "null"),
        ("tuple", "[1,[2]]"),
        ("huge", "1" + "0" * 6000),
        ("just-fits", '"' + "x" * (256 * 1024 - 2) + '"'),
    ],
)
@in_loop
async def test_results_at_the_edge(what: str, text: str) -> None:
    """R27: None is null, tuples are lists, integers have any size."""
    async with bench(registry) as b:
        assert (await b.run("return", {"what": what})).result == text


@in_loop
async def test_integers_of_any_size_go_through_a_handler() -> None:
    """R27: also on the way in."""
    async with bench(registry) as b:
        text = '{"n":' + "9" * 10_000 + "}"
        assert (await b.run("echo", text)).result == text


@in_loop
async def test_an_action_that_nobody_handles() -> None:
    """R23: answered at once, by a running worker."""
    async with bench(registry) as b:
        outcome = await b.run("fly")
        assert outcome.error.error_code == "ACTION_NOT_FOUND"
        assert outcome.error.severity == "fatal"
        await eventually(lambda: b.engine.committable() == {PARTITION: 1})


@in_loop
async def test_a_payload_that_does_not_fit() -> None:
    """INVALID_PAYLOAD, and the handler is not called."""
    async with bench(registry) as b:
        outcome = await b.run("echo", "[1]")
        assert outcome.error.error_code == "INVALID_PAYLOAD"
        assert outcome.error.severity == "fatal"


@in_loop
async def test_warnings_go_out_at_once_and_the_step_completes() -> None:
    """R6: a warning is no failure; a flood of them is cut off."""
    async with bench(registry, max_warnings=3) as b:
        given = b.offer("warn", {"times": 9, "message": "y" * 3000})
        await b.answered()
        assert [each.code for each in b.sink.warned] == ["LOW_STOCK"] * 3
        assert b.sink.warned[0].step_id == given["step_id"]
        assert len(b.sink.warned[0].message) == 1000
        assert b.sink.results == [None]


@in_loop
async def test_payload_and_environment_are_a_private_copy() -> None:
    """R28: another attempt of the same step sees what was sent."""
    async with bench(registry) as b:
        environment = {"nested": '{"list": [1]}'}
        given = b.offer("mutate", {"list": [1]}, environment=environment)
        await b.answered()
        position = Position(TOPIC, 0, 1)
        b.engine.offer(position, dict(given, attempt=2), 0.0, redelivered=False)
        await b.answered(2)
        assert b.sink.results == [[{"list": [1]}, {"nested": {"list": [1]}}]] * 2
