"""Parents and children in a coordinator's tables (§6.5, R39)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.effects import Effects
from agents.nested import DEPTH, ORPHAN_MARGIN_MS, PARENT, depth_of
from schemas import codec
from schemas.commands import ParentEnded
from schemas.errors import Severity, make_error
from schemas.results import Status
from schemas.steps import ChildEnded, ParentReference, StepRequest, StepStarted
from tests.unit.coordinator.bench import (
    COMMANDS_TOPIC,
    NOW,
    OUTCOMES_TOPIC,
    Bench,
    new_id,
    reference,
    requests,
    result,
    sent_to,
    steps,
    submission,
)

BROKEN = make_error("BROKEN", "as asked", severity=Severity.ERROR)
FATAL = make_error("PLAN_TIMEOUT", "too long")


class Family:
    """A parent whose one step runs a child, both on one partition."""

    def __init__(self, parent: dict[str, Any] | None = None, **terms: Any) -> None:
        self.bench = Bench(**terms)
        self.parent = parent or submission(steps([]))
        (self.request,) = requests(self.bench.admit(self.parent))
        self.child = submission(
            steps([]), parent_execution_id=self.parent["execution_id"]
        )
        self.bench.rehome(self.child)

    @property
    def child_id(self) -> str:
        made: str = self.child["plan"]["id"]
        return made

    def start(self, start_id: str = "s1", child: str | None = None) -> Effects:
        """Announce the attempt, naming the child."""
        fields = reference(self.request) | {
            "worker": "w",
            "start_id": start_id,
            "started_at": self.bench.now,
            "elapsed_ms": 0,
            "child_plan_id": child or self.child_id,
        }
        value = codec.encode_fields(StepStarted, fields)
        return self.bench.fold(OUTCOMES_TOPIC, value)

    def submit(self, start_id: str = "s1", **members: Any) -> Effects:
        """Submit the child as a worker does."""
        fields = reference(self.request) | {"start_id": start_id, "depth": 1} | members
        header = (PARENT, codec.encode_fields(ParentReference, fields))
        return self.bench.admit(self.child, headers=[header])

    def run(self) -> StepRequest:
        """Announce and submit; the request of the child's step."""
        self.start()
        (request,) = requests(self.submit())
        return request

    def tell(self, effects: Effects) -> Effects:
        """Fold what the child's transaction tells the parent."""
        (record,) = sent_to(effects, "step-outcomes")
        assert record.key == self.parent["plan"]["id"].encode()
        return self.bench.fold(OUTCOMES_TOPIC, record.value)

    def command(self, effects: Effects) -> Effects:
        """Fold what the parent's transaction tells the child."""
        (record,) = sent_to(effects, "commands")
        assert record.key == self.child_id.encode()
        return self.bench.fold(COMMANDS_TOPIC, record.value)

    def time_out(self) -> Effects:
        """End the parent, which has a nearer limit, before the child."""
        self.bench.now += 60_000
        due = self.bench.fire_due()
        return next(each for each in due if sent_to(each, "halts"))


def told(effects: Effects) -> ChildEnded:
    (record,) = sent_to(effects, "step-outcomes")
    return codec.decode(record.value, ChildEnded)


def test_the_answer_is_in_the_transaction_of_the_childs_result() -> None:
    """R39: result and answer leave together; the answer completes the step."""
    family = Family()
    effects = family.bench.succeed(family.run(), '{"a": 1.0}')
    own = result(effects)
    ended = result(family.tell(effects))
    assert ended.status is Status.SUCCESS
    (text,) = ended.result_payload.values()
    assert json.loads(text)["plan_id"] == own.plan_id == family.child_id
    assert '{"a": 1.0}' in text
    assert family.bench.live() == {"registry": 2}


def test_everything_survives_restarts() -> None:
    """R15, R39: who waits for whom is in the changelog."""
    family = Family()
    family.start()
    family.bench.restart()
    (request,) = requests(family.submit())
    family.bench.restart()
    effects = family.bench.fail(request, BROKEN)
    family.bench.restart()
    ended = result(family.tell(effects))
    assert ended.error is not None
    assert ended.error.cause is not None
    error = ended.error.cause
    assert (error.error_code, error.severity) == ("STEP_ERROR", Severity.ERROR)
    assert json.loads(error.context)["child_plan_id"] == family.child_id


def test_a_child_of_the_same_attempt_is_ignored_before_and_after_its_end() -> None:
    """R39: another start of the attempt submits it again; one answer is enough."""
    family = Family()
    request = family.run()
    family.start("s2")
    assert not family.submit("s2")
    effects = family.bench.succeed(request)
    family.bench.restart()
    assert not family.submit("s2")
    assert result(family.tell(effects)).status is Status.SUCCESS


@pytest.mark.parametrize("members", [{"attempt": 2}, {"step_id": new_id()}])
def test_a_child_of_another_attempt_is_a_duplicate(members: dict[str, Any]) -> None:
    """R14, R39: a dead letter, and STEP_ERROR for whoever submitted it."""
    family = Family()
    family.run()
    effects = family.submit(**members)
    (letter,) = sent_to(effects, "rejected")
    assert dict(letter.headers)["reason"] == b"DUPLICATE_EXECUTION"
    error = told(effects).error
    assert error is not None
    assert (error.error_code, error.severity) == ("STEP_ERROR", Severity.ERROR)
    assert told(effects).attempt == members.get("attempt", 1)


def test_a_refused_child_is_answered_and_not_looked_at_again() -> None:
    """R39: the cause is why it was refused; a repeat is ignored."""
    family = Family()
    family.start()
    family.child["environment"] = {}
    effects = family.submit()
    error = told(effects).error
    assert error is not None
    assert error.cause is not None
    assert error.cause.error_code == "CONTEXT_MISSING"
    assert result(effects).status is Status.FAILURE
    assert not family.submit()


def test_the_window_rule_is_not_applied_to_a_child() -> None:
    """R39: its deadline is its parent's, however near; others need their window."""
    family = Family()
    family.start()
    family.child["deadline_ms"] = NOW + 10
    assert requests(family.submit())
    family = Family()
    family.child["deadline_ms"] = NOW + 10
    effects = family.bench.admit(family.child)
    assert result(effects).status is Status.FAILURE


def test_a_child_that_comes_late_is_refused() -> None:
    """R39: past its deadline, it fails the step that still waits."""
    family = Family()
    family.start()
    family.child["deadline_ms"] = NOW + 10
    family.bench.now += 10
    error = told(family.submit()).error
    assert error is not None
    assert error.cause is not None
    assert error.cause.error_code == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize(
    "change",
    [
        {"start_id": "another"},
        {"child_plan_id": new_id()},
        {"attempt": 2},
        {"execution_id": new_id()},
        {"error": BROKEN},
        {"result": None},
    ],
)
def test_a_forged_answer_counts_for_nothing(change: dict[str, Any]) -> None:
    """R39: only the child that the attempt named, by a start that it announced."""
    family = Family()
    effects = family.bench.succeed(family.run())
    genuine = dict(told(effects))
    forged = codec.encode_fields(ChildEnded, genuine | change)
    assert not family.bench.fold(OUTCOMES_TOPIC, forged)
    assert result(family.tell(effects)).status is Status.SUCCESS


def test_an_answer_to_an_attempt_that_named_no_child_is_ignored() -> None:
    """R39: a step that runs a handler has no child."""
    family = Family()
    family.bench.announce(family.request, "s1")
    (request,) = requests(family.submit())
    effects = family.bench.succeed(request)
    assert not family.tell(effects)
    ended = family.bench.succeed(family.request, '"own"')
    assert list(result(ended).result_payload.values()) == ['"own"']


@pytest.mark.parametrize("header", [b"", b"garbage", b"{}", b"\xc3\x01"])
def test_an_unreadable_reference_makes_no_child(header: bytes) -> None:
    """R39: what claims a parent wrongly is a plan like any other."""
    family = Family()
    (request,) = requests(family.bench.admit(family.child, headers=[(PARENT, header)]))
    assert not sent_to(family.bench.succeed(request), "step-outcomes")


def test_a_reference_that_contradicts_the_submission_makes_no_child() -> None:
    """R39: `parent_execution_id` says the same."""
    family = Family()
    family.child["parent_execution_id"] = new_id()
    (request,) = requests(family.submit())
    assert not sent_to(family.bench.succeed(request), "step-outcomes")


def test_a_child_ends_when_its_parent_has_ended() -> None:
    """R39: EXECUTION_HALTED, fatal, whose cause is the parent's error."""
    family = Family()
    family.child["plan"]["timeout_ms"] = 300_000
    family.run()
    effects = family.time_out()
    family.bench.restart()
    ended = result(halted := family.command(effects))
    assert ended.plan_id == family.child_id
    assert ended.error is not None
    assert ended.error.error_code == "EXECUTION_HALTED"
    assert ended.error.severity is Severity.FATAL
    assert ended.error.cause is not None
    assert ended.error.cause.error_code == "PLAN_TIMEOUT"
    assert sent_to(halted, "halts")
    assert not family.tell(halted), "its parent has ended"
    assert not family.command(effects), "so has it"


def test_an_end_that_comes_before_the_child_is_remembered() -> None:
    """R39: commands are folded before plans, and a worker may be about to submit."""
    family = Family()
    family.child["plan"]["timeout_ms"] = 300_000
    family.start()
    family.command(family.time_out())
    family.bench.restart()
    effects = family.submit()
    assert not effects.requests
    ended = result(effects)
    assert ended.error is not None
    assert ended.error.error_code == "EXECUTION_HALTED"
    assert not family.bench.tables.orphans
    assert family.bench.live() == {"registry": 2}


def test_a_child_that_is_refused_has_come_too() -> None:
    """U3, R39: nothing is remembered of its parent's end any longer."""
    family = Family()
    family.child["plan"]["context_requirements"] = ["missing"]
    family.start()
    family.command(family.time_out())
    assert family.bench.tables.orphans
    assert result(family.submit()).status is Status.FAILURE
    assert not family.bench.tables.orphans


@pytest.mark.parametrize("submitted_first", [True, False])
def test_a_child_that_is_started_after_its_parents_end_ends_too(
    submitted_first: bool,
) -> None:
    """R39: a worker that has not heard of the end names it when nobody waits for it."""
    family = Family()
    family.child["plan"]["timeout_ms"] = 300_000
    family.time_out()
    family.bench.restart()
    if submitted_first:
        told = family.start()
        (request,) = requests(family.submit())
        assert request.plan_id == family.child_id
        ended = result(family.command(told))
    else:
        assert not family.command(family.start())
        ended = result(family.submit())
    assert ended.error is not None
    assert ended.error.error_code == "EXECUTION_HALTED"
    assert ended.error.cause is not None
    assert ended.error.cause.error_code == "PLAN_TIMEOUT"
    assert ended.error.cause.severity is Severity.FATAL


def test_a_start_of_another_execution_halts_no_child() -> None:
    """R39: neither does one of a plan that succeeded."""
    family = Family()
    family.time_out()
    family.parent["execution_id"] = new_id()
    fields = {**reference(family.request), "execution_id": new_id()}
    started = {"worker": "w", "start_id": "s", "started_at": NOW, "elapsed_ms": 0}
    value = codec.encode_fields(
        StepStarted, fields | started | {"child_plan_id": family.child_id}
    )
    assert not family.bench.fold(OUTCOMES_TOPIC, value)
    family = Family()
    family.bench.succeed(family.request)
    assert not family.start()


def test_an_end_is_remembered_no_longer_than_the_child_may_come() -> None:
    """R39, U3: past its parent's limits it would be refused anyway."""
    family = Family()
    family.start()
    family.command(family.time_out())
    assert family.bench.tables.orphans
    family.bench.state.expire(family.bench.now + ORPHAN_MARGIN_MS)
    assert family.bench.tables.orphans
    family.bench.state.expire(family.bench.now + ORPHAN_MARGIN_MS + 1)
    assert not family.bench.tables.orphans


def test_nobody_but_its_parent_ends_a_plan() -> None:
    """R39: a parent that named a foreign plan, early or late, does nothing to it."""
    for submitted_first in (True, False):
        bench = Bench()
        plan = submission(steps([]))
        bench.rehome(plan)
        fields = {
            "plan_id": plan["plan"]["id"],
            "parent_execution_id": new_id(),
            "ends_at": NOW + 1000,
            "error": FATAL,
        }
        command = codec.encode_fields(ParentEnded, fields)
        if submitted_first:
            (request,) = requests(bench.admit(plan))
            assert not bench.fold(COMMANDS_TOPIC, command)
        else:
            assert not bench.fold(COMMANDS_TOPIC, command)
            (request,) = requests(bench.admit(plan))
        assert result(bench.succeed(request)).status is Status.SUCCESS


def test_the_end_of_another_parent_does_not_wait_for_a_child() -> None:
    """R39: two parents may name one child; the one that submitted it counts."""
    family = Family()
    fields = {
        "plan_id": family.child_id,
        "parent_execution_id": new_id(),
        "ends_at": NOW + 1000,
        "error": FATAL,
    }
    family.bench.fold(COMMANDS_TOPIC, codec.encode_fields(ParentEnded, fields))
    assert family.run().plan_id == family.child_id


def test_a_child_that_has_ended_is_not_halted() -> None:
    """R39: a parent that fails by its child's end has nobody to halt."""
    family = Family()
    effects = family.tell(family.bench.fail(family.run(), BROKEN))
    assert result(effects).status is Status.FAILURE
    assert not sent_to(effects, "commands")


def test_a_result_that_no_step_may_have_fails_the_step() -> None:
    """R22: RESOURCE_EXHAUSTED, found before the answer is sent."""
    family = Family(max_step_result_bytes=1000)
    effects = family.bench.succeed(family.run(), json.dumps("x" * 900))
    assert result(effects).status is Status.SUCCESS
    assert told(effects).result is None
    ended = result(family.tell(effects))
    assert ended.error is not None
    assert ended.error.error_code == "RESOURCE_EXHAUSTED"


def test_a_duplicate_of_itself() -> None:
    """R39: a plan that names itself is told so, and fails by that."""
    family = Family()
    family.child["plan"]["id"] = family.parent["plan"]["id"]
    family.start()
    ended = result(family.tell(family.submit()))
    assert ended.plan_id == family.parent["plan"]["id"]
    assert ended.status is Status.FAILURE


def test_requests_tell_how_deep_their_plan_is_nested() -> None:
    """R39: the worker counts on from there; plans that are no children say nothing."""
    family = Family()
    family.start()
    (record,) = family.submit(depth=7).requests
    assert list(record.headers) == [(DEPTH, b"7")]
    assert depth_of(record.headers) == 7
    (record,) = Bench().admit(submission(steps([]))).requests
    assert not record.headers
    strange = (b"", b"-1", b"9" * 99, None)
    assert [depth_of([(DEPTH, text)]) for text in strange] == [0] * 4


def test_whose_child_a_plan_was_is_forgotten_with_it() -> None:
    """R14: as long as its id is remembered, and no longer."""
    family = Family()
    family.tell(family.bench.succeed(family.run()))
    assert len(family.bench.tables.children) == 1
    later = family.bench.now + family.bench.terms.registry_retention_ms + 1
    assert not family.bench.state.expire(later)
    assert not family.bench.tables.children
    assert not family.bench.tables.registry


@pytest.mark.parametrize("fmt", list(codec.Format))
@pytest.mark.parametrize("fails", [False, True])
def test_a_parent_is_told_in_either_format(fmt: codec.Format, fails: bool) -> None:
    """R39: success and failure of a child reach its parent in Avro and in JSON."""
    family = Family(format=fmt)
    request = family.run()
    bench = family.bench
    effects = bench.fail(request, BROKEN) if fails else bench.succeed(request)
    ended = result(family.tell(effects))
    assert ended.status is (Status.FAILURE if fails else Status.SUCCESS)


def test_a_child_is_asked_for_in_the_transaction_of_its_parents_fold() -> None:
    """Sent before, it might end before a coordinator that takes over knows its parent.

    The end would then be ignored, and a child that is submitted again by the same
    attempt is not answered twice: the parent would wait until its limit.
    """
    asked = Bench().admit(submission(steps([], action="execute_plan")))
    others = Bench().admit(submission(steps([])))

    assert [record.topic for record in asked.records] == ["step-requests.default"]
    assert not asked.requests
    assert [record.topic for record in others.requests] == ["step-requests.default"]
