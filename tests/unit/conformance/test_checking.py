"""The conformance suite notices what is wrong: each check has what fails it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from schemas.errors import ExecutionError, Severity, make_error
from schemas.events import EventName, PlanExecutionEvent
from schemas.results import AuditAction, ExecutionAudit, PlanResult, Status
from schemas.steps import StepSucceeded
from streams.config import Settings
from streams.conformance.cases import (
    Case,
    Err,
    Expected,
    Finding,
    case,
    partial,
    success,
)
from streams.conformance.checking import faults
from streams.conformance.ends import ACTIONS
from streams.conformance.ledger import Ledger, Seen
from streams.conformance.making import (
    In,
    Raw,
    changed,
    named,
    step,
    submission,
    written,
)
from streams.conformance.suite.all import cases_of
from streams.exceptions import SettingsError
from streams.topics import Topics

NOW = 1_700_000_000_000


@dataclass
class KafkaRecord:
    key: bytes
    topic: str
    headers: list[tuple[str, bytes]]


def published(one: Case, **changes: Any) -> Seen:
    """What a sound end of a plan of two steps looks like, with some changes."""
    ids = {
        "plan_id": one.plan_id,
        "execution_id": one.sent[0].value["execution_id"],
    }
    error = changes.get("error")
    status = changes.pop("status", Status.SUCCESS)
    fields = {
        "status": status,
        "completed_at": NOW + 5,
        "duration_ms": 5,
        "steps_executed": 2,
        "steps_total": 2,
        "result_payload": {named("a"): "1", named("b"): "2"},
        "error": None,
        **changes,
    }
    actions = tuple(
        AuditAction(number=number, name=name, at=NOW)
        for number, name in enumerate(ACTIONS[status].split(), 1)
    )
    ended = [
        StepSucceeded(
            **ids,
            step_id=named(name),
            step_number=number,
            attempt=1,
            worker="w",
            started_at=NOW,
            ended_at=NOW + 1,
            result="1",
        )
        for number, name in enumerate("ab")
    ]
    return Seen(
        results=[PlanResult(**ids, **fields)],
        audits=[
            ExecutionAudit(
                **ids, outcome=status, actions=actions, incomplete_steps=(), warnings=()
            )
        ],
        events=[
            PlanExecutionEvent(
                **ids,
                event=EventName(f"plan_execution_{status.value}"),
                at=NOW,
                status=status,
                error=error,
                user_id=None,
                request_id=None,
                correlation_context=None,
            )
        ],
        outcomes=list(ended),
        records=[
            KafkaRecord(
                one.plan_id.encode(),
                f"p.results.{status.value}",
                [
                    ("execution_id", ids["execution_id"].encode()),
                    ("status", status.value.encode()),
                ],
            )
        ],
    )


def made(expected: Expected | None = None) -> Case:
    return case("two", "§5.1", submission(step("a"), step("b")), expected or success())


def said(one: Case, seen: Seen) -> str:
    """All faults of a case, for what was published."""
    ledger = Ledger(Seen, Topics.of(Settings.load()), None)
    ledger.trails[one.plan_id] = seen
    return "\n".join(faults(Finding(one, ledger, (NOW,))))


def skipped(severity: Severity = Severity.WARN) -> ExecutionError:
    own = make_error("NO", "no", step_id=named("b"))
    return make_error(
        "STEP_SKIPPED", "", step_id=named("b"), severity=severity, cause=own
    )


def test_a_sound_end_passes() -> None:
    """Nothing is wrong with it, whatever is looked at."""
    one = made(
        success(
            results={"a": 1, "b": 2},
            log={"a": ("ok",), "b": ("ok",)},
            incomplete=frozenset(),
            warnings=(),
            total=2,
        )
    )
    assert said(one, published(one)) == ""


RESULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a duration that is none": ({"duration_ms": 6}, "§3: duration"),
    "more results than steps": ({"steps_executed": 1}, "§3: 2 results of 1"),
    "success of a part": (
        {"steps_executed": 1, "result_payload": {named("a"): "1"}},
        "§5: success with 1 of 2",
    ),
    "an error of a success": ({"error": skipped()}, "§3: status"),
    "another status": (
        {
            "status": Status.PARTIAL,
            "steps_executed": 1,
            "result_payload": {named("a"): "1"},
            "error": skipped(),
        },
        "the status is partial",
    ),
    "a failure that is not fatal": (
        {
            "status": Status.FAILURE,
            "steps_executed": 0,
            "result_payload": {},
            "error": skipped(),
        },
        "§5.3: a failure's error is warn",
    ),
    "a severity that §4 does not give": (
        {"error": skipped(Severity.ERROR)},
        "§4: STEP_SKIPPED is error",
    ),
    "another value": (
        {"result_payload": {named("a"): "1", named("b"): "3"}},
        "the results are",
    ),
    "another step": (
        {"result_payload": {named("a"): "1", named("c"): "2"}},
        "the results are",
    ),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_a_result_that_breaks_a_rule_is_noticed(kind: str) -> None:
    """§3, §4, §5, and what the case expects."""
    changes, fault = RESULTS[kind]
    one = made(success(results={"a": 1, "b": 2}))
    assert fault in said(one, published(one, **changes))


def repeat_result(seen: Seen) -> None:
    seen.results *= 2


def lose_action(seen: Seen) -> None:
    actions = seen.audits[0].actions[1:]
    seen.audits[0] = seen.audits[0].model_copy(update={"actions": actions})


def swap_actions(seen: Seen) -> None:
    first, second, *rest = seen.audits[0].actions
    actions = (second, first, *rest)
    seen.audits[0] = seen.audits[0].model_copy(update={"actions": actions})


def rename_event(seen: Seen) -> None:
    other = {"event": EventName.FAILURE}
    seen.events[0] = seen.events[0].model_copy(update=other)


def move(seen: Seen) -> None:
    seen.records[0].topic = "p.results.failure"


def rekey(seen: Seen) -> None:
    seen.records[0].key = b"other"


def decorate(seen: Seen) -> None:
    seen.records[0].headers.append(("more", b""))


def run_again(seen: Seen) -> None:
    again: Any = seen.outcomes[0]
    seen.outcomes.append(again.model_copy(update={"attempt": 2}))


TRAILS: dict[str, tuple[Callable[[Seen], None], str]] = {
    "two results": (repeat_result, "not one of each"),
    "an action is missing": (lose_action, "§5: the audit lists"),
    "two actions in another order": (swap_actions, "§5: the audit lists"),
    "another event": (rename_event, "§5: the event"),
    "another topic": (move, "R41: a success lies on"),
    "another key": (rekey, "R41: the result's key"),
    "a header more": (decorate, "R41: the result's headers"),
    "a second attempt": (run_again, "the attempts were"),
}


@pytest.mark.parametrize("kind", TRAILS)
def test_a_trail_that_breaks_a_rule_is_noticed(kind: str) -> None:
    """§5, R41, and the run log."""
    change, fault = TRAILS[kind]
    one = made(success(log={"a": ("ok",), "b": ("ok",)}))
    seen = published(one)
    change(seen)
    assert fault in said(one, seen)


ERRORS: dict[str, Err] = {
    "another code": Err("NO", "warn", "b", None),
    "another severity": Err("STEP_SKIPPED", "error", "b", Err("NO", "error", "b")),
    "another step": Err("STEP_SKIPPED", "warn", "a", Err("NO", "error", "b")),
    "no cause": Err("STEP_SKIPPED", "warn", "b"),
    "another cause": Err("STEP_SKIPPED", "warn", "b", Err("YES", "error", "b")),
    "another error beside it": Err(
        "STEP_SKIPPED",
        "warn",
        "b",
        Err("NO", "error", "b"),
        others=(Err("NO", "error", "a"),),
    ),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_another_error_is_noticed(kind: str) -> None:
    """Code, severity, step, cause, and the others in its context."""
    sound = Err("STEP_SKIPPED", "warn", "b", Err("NO", "error", "b"))
    changes = {
        "status": Status.PARTIAL,
        "steps_executed": 1,
        "result_payload": {named("a"): "1"},
        "error": skipped(),
    }
    one = made(partial(sound))
    assert said(one, published(one, **changes)) == ""
    one = made(partial(ERRORS[kind]))
    assert said(one, published(one, **changes))


def test_a_plan_without_an_end_is_noticed() -> None:
    """And so is an end where there must be none."""
    one = made()
    assert "has not ended" in said(one, Seen())
    none = Case("none", ("R38",), one.sent, one.plan_id, None)
    assert said(none, Seen()) == ""
    assert "has an outcome" in said(none, published(one))


def test_instants_and_texts_are_written_when_a_case_is_sent() -> None:
    """An instant follows the clock; raw text goes in as it is."""
    value = {"at": In(5), "raw": Raw("1e400"), "list": [None, "ü", (True,)]}
    assert written(value, 10) == '{"at":15,"raw":1e400,"list":[null,"\\u00fc",[true]]}'
    one = changed(submission(step("a")), "plan.steps[0].action", "b")
    assert one["plan"]["steps"][0]["action"] == "b"


def test_cases_are_made_for_one_run() -> None:
    """No plan id is used twice, in one run or the next."""
    settings = Settings.load()
    both = [*cases_of(settings), *cases_of(settings)]
    assert len({each.plan_id for each in both}) == len(both) > 1000


def test_cases_can_be_chosen_by_rule() -> None:
    """A rule that no case is about is an error, not an empty success."""
    settings = Settings.load()
    chosen = cases_of(settings, ["R14"])
    assert chosen
    assert all("R14" in each.rules for each in chosen)
    with pytest.raises(SettingsError, match="no case is about R99"):
        cases_of(settings, ["R99"])
