from __future__ import annotations

import json
import random
from typing import Any

import pytest

from agents.dead_letters import KEPT_BYTES
from agents.deadlines import DeadlineKind
from agents.tables import (
    PLAN_ITSELF,
    Deadline,
    Poison,
    Tables,
    plan_key,
    step_key,
)
from schemas import codec
from schemas.commands import DeadlineFired, Limit, RetryDue
from schemas.errors import Severity, make_error
from schemas.events import PlanExecutionEvent
from schemas.results import Status
from schemas.steps import ExecutionHalted, StepRequest, StepStarted
from tests.unit.coordinator.bench import (
    COMMANDS_TOPIC,
    OUTCOMES_TOPIC,
    PLANS_TOPIC,
    Bench,
    audit,
    new_id,
    reference,
    requests,
    result,
    sent_to,
    steps,
    submission,
)

BROKEN = make_error("BROKEN", "as asked", severity=Severity.ERROR)


# -- a plan's way


def test_a_plan_is_requested_step_by_step_and_ends_in_one_result() -> None:
    """§5.1: a chain of three ends in success, with what each handler returned (R3)."""
    bench, plan = Bench(), submission(steps([], [0], [1]))
    effects = bench.admit(plan)
    for number in range(3):
        (request,) = requests(effects)
        assert request.step_number == number
        assert not sent_to(effects, "results.success")
        effects = bench.succeed(request, json.dumps({"n": number}))
    ended = result(effects)
    assert (ended.status, ended.steps_executed) == (Status.SUCCESS, 3)
    names = [step["id"] for step in plan["plan"]["steps"]]
    assert ended.result_payload == {
        name: json.dumps({"n": number}) for number, name in enumerate(names)
    }
    assert bench.live() == {"registry": 1}
    assert [action.number for action in audit(effects).actions] == [*range(1, 9)]


def test_the_event_is_not_in_the_transaction() -> None:
    """R16: the event is queued for after the commit, not sent within it."""
    bench = Bench()
    (request,) = requests(bench.admit(submission(steps([]), user_id="ann")))
    effects = bench.succeed(request)
    (event,) = effects.events
    decoded = codec.decode(event.value, PlanExecutionEvent)
    assert (decoded.status, decoded.user_id) == (Status.SUCCESS, "ann")
    assert not sent_to(effects, "events")


def test_a_request_carries_payload_and_environment_untouched() -> None:
    """F12: opaque values reach the request byte for byte."""
    bench, plan = Bench(), submission(steps([]))
    bench.rehome(plan)
    text = json.dumps(plan).replace(
        '"here"', '{"a" :  1.50e2, "n":12345678901234567890}'
    )
    (request,) = requests(bench.fold(PLANS_TOPIC, text.encode()))
    assert request.environment == {"where": '{"a" :  1.50e2, "n":12345678901234567890}'}


def test_routes_choose_the_queue_by_the_action() -> None:
    """An action with a route goes to its queue, any other to the default one."""
    bench = Bench(routes={"heavy": "big"})
    chosen = [{"id": new_id(), "action": "heavy"}, {"id": new_id(), "action": "light"}]
    effects = bench.admit(submission(chosen))
    topics = [request.topic for request in effects.requests]
    assert topics == ["step-requests.big", "step-requests.default"]


def test_results_carry_the_headers_of_r41() -> None:
    """R41: headers execution_id, status and the correlation entries; key plan id."""
    bench = Bench()
    plan = submission(steps([]), correlation_context={"trace": "t-1"})
    (request,) = requests(bench.admit(plan))
    (record,) = sent_to(bench.succeed(request), "results.success")
    assert record.key == plan["plan"]["id"].encode()
    assert dict(record.headers) == {
        "execution_id": plan["execution_id"].encode(),
        "status": b"success",
        "trace": b"t-1",
    }


def test_a_halt_is_published_with_the_failure() -> None:
    """§5.3.3: what still runs of a failed plan is halted, in the same transaction."""
    bench = Bench()
    first, _ = requests(bench.admit(submission(steps([], []))))
    effects = bench.fail(first, BROKEN)
    (halt,) = sent_to(effects, "halts")
    halted = codec.decode(halt.value, ExecutionHalted)
    assert halted.execution_id == first.execution_id
    assert result(effects).status is Status.FAILURE
    assert bench.live() == {"registry": 1}


# -- repeats, latecomers, strangers


def test_a_repeated_outcome_changes_nothing() -> None:
    """A repeat folds to nothing, and is counted."""
    bench = Bench()
    (request,) = requests(bench.admit(submission(steps([], [0]))))
    assert requests(bench.succeed(request))
    effects = bench.succeed(request)
    assert not effects
    assert sum(effects.ignored.values()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"execution_id": new_id()},
        {"plan_id": new_id()},
        {"step_id": new_id()},
        {"step_number": 7},
        {"attempt": 2},
    ],
)
def test_an_outcome_that_fits_no_open_attempt_is_ignored(
    change: dict[str, Any],
) -> None:
    """Forged and mistaken outcomes are counted, and change nothing."""
    bench = Bench()
    (request,) = requests(bench.admit(submission(steps([]))))
    effects = bench.succeed(request.model_copy(update=change))
    assert not effects
    assert sum(effects.ignored.values()) == 1


def test_an_outcome_whose_plan_id_is_no_uuid_is_ignored() -> None:
    """Nothing that a foreign worker sends raises in a fold."""
    bench = Bench()
    (request,) = requests(bench.admit(submission(steps([]))))
    strange = StepRequest.model_construct(**(dict(request) | {"plan_id": "nobody"}))
    assert not bench.succeed(strange)


def test_unreadable_outcomes_are_dead_letters() -> None:
    """R38: bytes untouched, the reason in the headers."""
    effects = Bench().fold(OUTCOMES_TOPIC, b"\xc3\x01garbage")
    (letter,) = sent_to(effects, "rejected")
    assert letter.value == b"\xc3\x01garbage"
    assert dict(letter.headers)["reason"] == b"MALFORMED"


# -- results that cannot be kept


def test_a_result_over_the_limit_fails_its_step() -> None:
    """R22: RESOURCE_EXHAUSTED of that step; the coordinator does not trust workers."""
    bench = Bench(max_step_result_bytes=100)
    (request,) = requests(bench.admit(submission(steps([]))))
    ended = result(bench.succeed(request, json.dumps("x" * 200)))
    assert ended.error is not None
    assert ended.error.error_code == "RESOURCE_EXHAUSTED"
    assert ended.error.step_id == request.step_id


def test_results_that_together_pass_the_record_fail_the_last_step() -> None:
    """R22: the plan's result always fits into a record."""
    bench = Bench(max_record_bytes=100_000, max_step_result_bytes=90_000)
    first, second = requests(bench.admit(submission(steps([], []))))
    bench.succeed(first, json.dumps("x" * 40_000))
    ended = result(bench.succeed(second, json.dumps("x" * 40_000)))
    assert ended.error is not None
    assert (ended.status, ended.steps_executed) == (Status.FAILURE, 1)
    assert ended.error.error_code == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(
    "text", ["", "{", "[1,]", "NaN", "nonsense", "1 2", "[" * 9999]
)
def test_a_result_that_is_no_json_fails_its_step(text: str) -> None:
    """R22: a broken foreign worker cannot put what is no JSON into a result."""
    bench = Bench()
    (request,) = requests(bench.admit(submission(steps([]))))
    ended = result(bench.succeed(request, text))
    assert ended.error is not None
    assert ended.error.error_code == "UNKNOWN_ERROR"


# -- admission


def test_a_plan_id_is_used_once() -> None:
    """R14: duplicates of open, ended and refused plans are dead letters."""
    bench, plan = Bench(), submission(steps([]))
    (request,) = requests(bench.admit(plan))
    again = bench.admit(plan | {"execution_id": new_id()})
    bench.succeed(request)
    after = bench.admit(plan)
    bench.restart()
    restarted = bench.admit(plan)
    for effects in (again, after, restarted):
        (letter,) = sent_to(effects, "rejected")
        assert dict(letter.headers)["reason"] == b"DUPLICATE_EXECUTION"
        assert len(effects.records) == 1


def test_a_refused_plan_has_a_result_and_its_id_is_used_up() -> None:
    """R14, R35: all violations in the result; the same id again is a duplicate."""
    bench, plan = Bench(), submission(steps([]), plan={"name": ""})
    effects = bench.admit(plan)
    ended = result(effects)
    assert ended.error is not None
    assert (ended.status, ended.steps_total) == (Status.FAILURE, 1)
    assert ended.error.error_code == "INVALID_PAYLOAD"
    (found,) = json.loads(ended.error.context)["violations"]
    assert found["path"] == "plan.name"
    assert len(effects.events) == 1
    assert audit(effects).outcome is Status.FAILURE
    (letter,) = sent_to(bench.admit(plan | {"execution_id": new_id()}), "rejected")
    assert dict(letter.headers)["reason"] == b"DUPLICATE_EXECUTION"


def test_a_plan_on_another_partition_is_moved() -> None:
    """R36: sent to its own partition with its headers, and not admitted here."""
    here, there = Bench(0), Bench(1)
    plan = submission(steps([]))
    there.rehome(plan)
    value = json.dumps(plan).encode()
    effects = here.fold(PLANS_TOPIC, value, key=b"other", headers=[("h", b"1")])
    (moved,) = effects.records
    assert (moved.topic, moved.key) == ("plans", plan["plan"]["id"].encode())
    assert (moved.value, list(moved.headers)) == (value, [("h", b"1")])
    assert here.live() == {}
    assert requests(there.fold(PLANS_TOPIC, moved.value, key=moved.key))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, b"MALFORMED"),
        (b"", b"MALFORMED"),
        (b"\xff\xfe", b"MALFORMED"),
        (b"\x00\x00\x00\x00\x01abc", b"MALFORMED"),
        (b"{}", b"INVALID_ID"),
        (b'{"plan":{"id":"x"},"execution_id":"y"}', b"INVALID_ID"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, b"TOO_DEEP"),
    ],
)
def test_what_has_no_ids_is_a_dead_letter(value: bytes | None, reason: bytes) -> None:
    """Refusals, R38: key, value and headers as received; the reason is added, last."""
    headers = [("reason", b"mine")]
    effects = Bench().fold(PLANS_TOPIC, value, key=b"k", headers=headers)
    (letter,) = sent_to(effects, "rejected")
    assert (letter.key, letter.value) == (b"k", value)
    assert letter.headers[0] == ("reason", b"mine")
    added = dict(letter.headers[1:])
    assert added["reason"] == reason
    assert added["source-topic"] == b"plans"
    assert added["source-offset"] == b"0"


def test_too_large_a_submission_is_refused_when_its_ids_can_be_read() -> None:
    """Refusals: RESOURCE_EXHAUSTED with ids, a dead letter TOO_LARGE without."""
    bench = Bench(max_submission_bytes=2000)
    plan = submission(steps([]), plan={"tags": ["x" * 3000]})
    ended = result(bench.admit(plan))
    assert ended.error is not None
    assert ended.error.error_code == "RESOURCE_EXHAUSTED"
    (letter,) = sent_to(
        bench.fold(PLANS_TOPIC, b'{"a":"' + b"x" * 3000 + b'"}'), "rejected"
    )
    assert dict(letter.headers)["reason"] == b"TOO_LARGE"


@pytest.mark.interpreted
def test_too_large_a_submission_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals: a million faults would hold the partition, and decide nothing."""

    def judge(*_: Any, **__: Any) -> None:
        pytest.fail("it was judged")

    monkeypatch.setattr("agents.admission.validate", judge)
    bench = Bench(max_submission_bytes=2000)
    plan = submission(steps([]), plan={"tags": [1] * 3000})
    ended = result(bench.admit(plan))
    assert ended.error is not None
    assert ended.error.error_code == "RESOURCE_EXHAUSTED"


def test_a_dead_letter_keeps_headers_without_values() -> None:
    """R38: Kafka allows them, and whoever sent the record may use them."""
    headers = [("trace", None), ("empty", b"")]
    effects = Bench().fold(PLANS_TOPIC, b"{", headers=headers)
    (letter,) = sent_to(effects, "rejected")
    assert list(letter.headers)[: len(headers)] == headers


def test_a_record_too_heavy_to_be_moved_is_a_dead_letter() -> None:
    """R36, R38: astray and beyond the record limit, headers counted: TOO_LARGE."""
    here, there = Bench(0, max_record_bytes=3000), Bench(1, max_record_bytes=3000)
    plan = submission(steps([]))
    there.rehome(plan)
    value, headers = json.dumps(plan).encode(), [("h", b"x" * 3000)]
    (letter,) = here.fold(PLANS_TOPIC, value, headers=headers).records
    assert letter.topic == "rejected"
    assert dict(letter.headers)["reason"] == b"TOO_LARGE"
    assert requests(there.fold(PLANS_TOPIC, value, headers=headers))


def test_a_dead_letter_of_what_fits_no_topic_is_cut() -> None:
    """R38: a compressed record may be larger than topics take; all else is kept."""
    bench = Bench(max_request_bytes=100_000)
    for weight, kept in ((90_000, 90_000), (200_000, KEPT_BYTES)):
        value, headers = b"x" * weight, [("trace", b"1")]
        effects = bench.fold(PLANS_TOPIC, value, key=b"k", headers=headers)
        (letter,) = sent_to(effects, "rejected")
        assert (letter.key, letter.value) == (b"k", value[:kept])
        added = {name: value or b"" for name, value in letter.headers}
        assert added["reason"] == b"MALFORMED"
        assert added["reason-detail"].startswith(b"cut") is (kept < weight)
        assert ("trace" in added) is (kept == weight)
    effects = bench.fold(PLANS_TOPIC, None, key=b"k" * 200_000)
    (letter,) = sent_to(effects, "rejected")
    assert (letter.key, letter.value) == (None, None)


def test_a_refusal_does_not_carry_more_than_an_admitted_plan_could() -> None:
    """R41: correlation entries of a submission that is too large can be too large."""
    bench = Bench(max_submission_bytes=2000)
    for size, kept in ((500, True), (3000, False)):
        plan = submission(steps([]), plan={"tags": ["x" * 3000]}, user_id="u" * size)
        plan["correlation_context"] = {"trace": "t" * size}
        effects = bench.admit(plan)
        (record,) = sent_to(effects, "results.failure")
        assert ("trace" in dict(record.headers)) is kept
        (event,) = effects.events
        decoded = codec.decode(event.value, PlanExecutionEvent)
        assert (decoded.user_id is not None) is kept
        assert (decoded.correlation_context is not None) is kept


def test_headers_give_way_to_a_result_that_fills_its_record() -> None:
    """R41: what cannot be published would never end; ids and status stay."""
    bench = Bench(max_record_bytes=5000, max_submission_bytes=5000)
    plan = submission(steps([]), correlation_context={"trace": "t" * 3000})
    (request,) = requests(bench.admit(plan))
    effects = bench.succeed(request, json.dumps("x" * 2400))
    (record,) = sent_to(effects, "results.success")
    assert [name for name, _ in record.headers] == ["execution_id", "status"]


def test_a_plan_ends_that_named_a_child_which_never_comes() -> None:
    """R39: a start that names a child plan leaves its plan able to end."""
    bench = Bench()
    (request,) = requests(bench.admit(submission(steps([]))))
    fields = reference(request) | {
        "worker": "w",
        "start_id": "s",
        "started_at": bench.now,
        "elapsed_ms": 0,
        "child_plan_id": new_id(),
    }
    bench.fold(OUTCOMES_TOPIC, codec.encode_fields(StepStarted, fields))
    bench.now += 60_000
    (effects,) = bench.fire_due()
    assert result(effects).status is Status.FAILURE


# -- deadlines


def test_the_plan_timeout_fires_through_a_command() -> None:
    """R10, R33: what is due becomes a command; folding it ends the plan."""
    bench = Bench()
    bench.admit(submission(steps([])))
    bench.now += 59_999
    assert not bench.fire_due()
    bench.now += 1
    (effects,) = bench.fire_due()
    ended = result(effects)
    assert ended.error is not None
    assert ended.error.error_code == "PLAN_TIMEOUT"
    assert bench.live() == {"registry": 1}


def test_an_announced_step_is_limited_also_after_a_restart() -> None:
    """R4, §6: a step limit survives the loss of coordinator and worker."""
    bench = Bench()
    plan = submission(steps([], timeout_ms=500))
    (request,) = requests(bench.admit(plan))
    bench.announce(request, "first")
    bench.restart()
    bench.now += 1500
    (effects,) = bench.fire_due()
    ended = result(effects)
    assert ended.error is not None
    assert ended.error.error_code == "STEP_TIMEOUT"


def test_a_retry_is_due_after_its_backoff() -> None:
    """§1.1: the second attempt is requested when the backoff is over, not before."""
    bench = Bench()
    policy = {
        "max_attempts": 2,
        "backoff_ms": 300,
        "retryable_error_codes": ["BROKEN"],
    }
    chosen = steps([], on_failure="retry")
    (request,) = requests(bench.admit(submission(chosen, {"retry_policy": policy})))
    assert not requests(bench.fail(request, BROKEN))
    bench.restart()
    bench.now += 299
    assert not bench.fire_due()
    bench.now += 1
    (effects,) = bench.fire_due()
    (second,) = requests(effects)
    assert second.attempt == 2


def test_a_deadline_that_was_armed_anew_does_not_fire_at_its_old_time() -> None:
    """The heap passes over rows that have changed since."""
    bench = Bench()
    heap = bench.state.deadlines
    heap.arm(b"p" * 16, 0, Deadline(100, DeadlineKind.STEP_TIMEOUT, 1))
    heap.arm(b"p" * 16, 0, Deadline(200, DeadlineKind.STEP_TIMEOUT, 1))
    assert heap.take_due(150) == []
    ((key, due),) = heap.take_due(200)
    assert (key, due.due_at) == (step_key(b"p" * 16, 0), 200)
    bench.tables.drop_deadline(b"p" * 16, 0)
    heap.rebuild()
    assert heap.take_due(10**6) == []


@pytest.mark.parametrize("number", [1, 2**40, None])
def test_commands_about_steps_that_are_not_there_change_nothing(
    number: int | None,
) -> None:
    """What others put on the commands topic is counted; it never raises."""
    bench, plan = Bench(), submission(steps([]))
    bench.admit(plan)
    ids = {"plan_id": plan["plan"]["id"], "execution_id": plan["execution_id"]}
    fields = {**ids, "step_number": number, "attempt": 1, "due_at": 1}
    limit = {**fields, "limit": Limit.STEP_TIMEOUT}
    values = [codec.encode_fields(DeadlineFired, limit)]
    if number is not None:
        values.append(codec.encode_fields(RetryDue, fields))
    for value in values:
        effects = bench.fold(COMMANDS_TOPIC, value)
        assert not effects.records
        assert effects.ignored == {"no such step": 1}


# -- time, retention, poison


def test_time_never_runs_backwards_within_a_partition() -> None:
    """R32: a clock that is stepped back leaves the partition's time where it was."""
    state = Bench().state
    assert state.advance(1000) == 1000
    assert state.advance(400) == 1000
    assert state.advance(1001) == 1001


def test_ended_plans_are_forgotten_after_their_retention() -> None:
    """R14: ids are remembered for registry_retention, and free afterwards."""
    bench, plan = Bench(registry_retention_ms=1000), submission(steps([]))
    (request,) = requests(bench.admit(plan))
    bench.succeed(request)
    bench.state.expire(bench.now + 999)
    assert bench.tables.knows(plan_key(plan["plan"]["id"]))
    bench.state.expire(bench.now + 1000)
    assert not bench.tables.knows(plan_key(plan["plan"]["id"]))


def test_a_start_in_the_future_does_not_keep_ids() -> None:
    """R14: such a result is completed in the future (R32), its plan has ended now."""
    bench = Bench(registry_retention_ms=1000)
    future = bench.now * 1000  # somebody's microseconds
    late: dict[str, Any] = {"started_at": future, "deadline_ms": future + 600_000}
    for plan in (submission(steps([]), **late), submission(steps([]))):
        (request,) = requests(bench.admit(plan))
        bench.succeed(request)
    bench.state.expire(bench.now + 1000)
    assert not bench.tables.registry


def test_ids_are_forgotten_a_portion_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No portion holds up the folds for long; it is told that there may be more."""
    monkeypatch.setattr("agents.coordinator.EXPIRED_AT_ONCE", 2)
    bench = Bench(registry_retention_ms=1000)
    for _ in range(3):
        (request,) = requests(bench.admit(submission(steps([]))))
        bench.succeed(request)
    assert bench.state.expire(bench.now + 1000)
    assert len(bench.tables.registry) == 1
    assert not bench.state.expire(bench.now + 1000)
    assert not bench.tables.registry


def test_limits_of_ended_plans_do_not_pile_up() -> None:
    """U3: plans end long before their limits, whose entries must not wait till then."""
    bench = Bench()
    heap, due = bench.state.deadlines, Deadline(10**9, DeadlineKind.PLAN_TIMEOUT, 0)
    for number in range(5000):
        plan = number.to_bytes(16, "big")
        heap.arm(plan, PLAN_ITSELF, due)
        if number:
            bench.tables.drop_plan(plan, 0)
    assert len(heap) < 1100
    ((key, _),) = heap.take_due(10**9)
    assert key == step_key(bytes(16), PLAN_ITSELF)


def test_without_a_retention_ids_are_remembered_for_ever() -> None:
    """R14: 0 is for ever."""
    bench, plan = Bench(registry_retention_ms=0), submission(steps([]))
    (request,) = requests(bench.admit(plan))
    bench.succeed(request)
    bench.state.expire(bench.now * 2)
    assert bench.tables.knows(plan_key(plan["plan"]["id"]))


def test_a_record_that_crashed_twice_is_a_dead_letter() -> None:
    """DESIGN §5: POISON after the second crash on an offset, folded until then."""
    bench, plan = Bench(), submission(steps([]))
    bench.tables.put_poison(PLANS_TOPIC, Poison(0, 1))
    assert requests(bench.admit(plan))
    bench.tables.put_poison(PLANS_TOPIC, Poison(1, 2))
    (letter,) = sent_to(bench.admit(submission(steps([]))), "rejected")
    assert dict(letter.headers)["reason"] == b"POISON"
    assert requests(bench.admit(submission(steps([]))))


def test_room_for_plans_is_counted_in_open_ones() -> None:
    """Back-pressure: no room at max_plans_in_flight, room again when one has ended."""
    bench = Bench(max_plans_in_flight=1)
    room = [bench.state.room]
    (request,) = requests(bench.admit(submission(steps([]))))
    room.append(bench.state.room)
    bench.succeed(request)
    room.append(bench.state.room)
    assert room == [1, 0, 1]


# -- recovery


def test_a_foreign_changelog_is_refused() -> None:
    """A key of no table is an error, not silence."""
    with pytest.raises(ValueError, match="no table of ours"):
        Tables().load(b"x" + b"k" * 16, b"v")


@pytest.mark.parametrize("seed", range(40))
def test_a_restart_at_any_moment_changes_no_outcome(seed: int) -> None:
    """R15: folding with and without restarts publishes the same records."""
    smooth, rough = Bench(), Bench()
    plan = _random_plan(random.Random(seed))
    smooth.rehome(plan)
    assert _run(smooth, plan, seed, 0.0) == _run(rough, plan, seed, 0.4)


def _random_plan(dice: random.Random) -> dict[str, Any]:
    count = dice.randint(1, 7)
    needs = [
        [each for each in range(number) if dice.random() < 0.35]
        for number in range(count)
    ]
    chosen = steps(*needs)
    for step in chosen:
        step["on_failure"] = dice.choice(["halt", "skip", "retry", "retry"])
    policy = {"max_attempts": 3, "retryable_error_codes": ["BROKEN"]}
    policy["backoff_ms"] = dice.choice([0, 50])
    return submission(chosen, {"retry_policy": policy})


def _run(
    bench: Bench, plan: dict[str, Any], seed: int, restarts: float
) -> list[tuple[str, bytes | None]]:
    """Drive a plan to its end; all that it published, in order."""
    dice, crashes = random.Random(seed), random.Random(seed + 1)
    effects = bench.admit(plan)
    published = [(each.topic, each.value) for each in effects.records]
    open_requests = requests(effects)
    while bench.tables.plans:
        if crashes.random() < restarts:
            bench.restart()
        bench.now += 10
        if not open_requests or dice.random() < 0.2:
            bench.now += 50
            folded = bench.fire_due()
        else:
            request = open_requests.pop(dice.randrange(len(open_requests)))
            folded = [_answer(bench, request, dice)]
        for effects in folded:
            published += [(each.topic, each.value) for each in effects.records]
            open_requests += requests(effects)
    assert bench.live() == {"registry": 1}
    return published


def _answer(bench: Bench, request: StepRequest, dice: random.Random) -> Any:
    if dice.random() < 0.25:
        bench.announce(request, "start")
    if dice.random() < 0.3:
        return bench.fail(request, BROKEN)
    return bench.succeed(request, "[1]")
