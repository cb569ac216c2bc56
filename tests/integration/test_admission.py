"""What foreign producers may send, and what is answered to each of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schemas import codec
from schemas.results import Status
from schemas.steps import StepRequest
from tests.conftest import Broker
from tests.integration.foreign import read_avro, write_avro, write_fields
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import Live, live
from tests.integration.plans import chain, new_id, now_ms, step, submission
from tests.integration.system import eventually

HEADERS = [("trace", b"\xff\x00"), ("trace", b"again"), ("reason", b"mine")]


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(kafka, tmp_path_factory.mktemp("admission")) as system:
        yield system


def requests_of(system: Live, made: dict[str, Any]) -> list[StepRequest]:
    """The step requests of a plan, each attempt once or more."""
    topic = system.system.topics.requests["default"]
    records = system.run(system.system.read(topic))
    decoded = [codec.decode(record.value, StepRequest) for record in records]
    return [each for each in decoded if each.plan_id == made["plan"]["id"]]


def violations(trail: Trail) -> list[dict[str, str]]:
    context = json.loads(trail.error.context)
    assert context["violations_total"] >= len(context["violations"])
    listed = context["violations"]
    assert isinstance(listed, list)
    return listed


# -- what is admitted


def test_plain_json_of_any_layout_is_admitted(system: Live) -> None:
    """R37: leading white space, indentation, characters escaped or not, any order."""
    made = submission(step("echo", {"grüße": "\U0001f600"}), name="grün")
    layouts: list[Callable[[Any], str]] = [
        lambda value: " \n\t\r" + json.dumps(value, indent=7, ensure_ascii=False),
        lambda value: json.dumps(value, separators=(" ,\n", "\t: ")) + "\n\n",
        lambda value: json.dumps(value, sort_keys=True, ensure_ascii=True),
    ]
    for layout in layouts:
        made["plan"]["id"] = new_id()
        trail = system.produce(layout(made).encode(), made)
        assert trail.result.status is Status.SUCCESS
        (result,) = trail.result.result_payload.values()
        assert json.loads(result)["payload"] == {"grüße": "\U0001f600"}


def test_opaque_values_arrive_byte_for_byte(system: Live) -> None:
    """F12: payload and environment as the producer wrote them, blanks and all."""
    payload = (
        '{ "big":123456789012345678901234567890 ,\t"x" : [1.10e-2,-0.0,1E5],\n"a":{}}'
    )
    value = '{"ü": "\\u00fc\\ud83d\\ude00" , "nested":[ [ ],{} ] , "n":null}'
    made = submission(step("environment", {"name": "where"}), step("echo", {}))
    first, second = made["plan"]["steps"]
    second["payload"] = "PAYLOAD"
    made["environment"] = {"where": "VALUE"}
    text = json.dumps(made).replace('"PAYLOAD"', payload).replace('"VALUE"', value)
    trail = system.produce(text.encode(), made)
    requests = {each.step_id: each for each in requests_of(system, made)}
    assert requests[second["id"]].payload == payload
    assert requests[first["id"]].environment == {"where": value}
    assert json.loads(trail.result.result_payload[first["id"]]) == json.loads(value)
    echoed = json.loads(trail.result.result_payload[second["id"]])
    assert echoed["payload"] == json.loads(payload)


def test_avro_written_from_the_schema_files_alone_is_admitted(system: Live) -> None:
    """DESIGN §2: single-object encoding; its results can be read the same way."""
    steps = chain(2, big=2**90)
    made = submission(*steps, members={"user_id": "u", "correlation_context": {}})
    trail = system.produce(write_avro(made), made)
    result = read_avro(trail.records[0].value, "PlanResult")
    assert result["status"] == "success"
    assert result["steps_executed"] == 2
    texts = [result["result_payload"][each["id"]] for each in steps]
    assert [json.loads(text)["payload"] for text in texts] == [{"big": 2**90}] * 2


def test_opaque_text_in_avro_arrives_byte_for_byte(system: Live) -> None:
    """F12: the text in an Avro string is not laid out anew."""
    made = submission(step("echo"))
    fields = {
        **made,
        "environment": {"where": ' {"a" : 1 } ', "other": "1.50"},
    }
    fields["plan"]["steps"][0]["payload"] = ' {"k" :\n"v"}'
    system.produce(write_fields(fields), made)
    (request,) = requests_of(system, made)
    assert request.environment == {"where": ' {"a" : 1 } ', "other": "1.50"}
    assert request.payload == ' {"k" :\n"v"}'


def test_what_is_optional_may_be_null_or_absent(system: Live) -> None:
    """R34: null is absent for the optional fields of the context."""
    names = ["parent_execution_id", "user_id", "request_id", "correlation_context"]
    made = submission(step(), members=dict.fromkeys(names))
    del made["plan"]["timeout_ms"]
    made["deadline_ms"] = made["started_at"] + 300_000
    trail = system.execute(made)
    assert trail.result.status is Status.SUCCESS
    assert trail.event.correlation_context is None


@pytest.mark.parametrize("key", [None, b"another key", b"\xff\xfe"], ids=str)
def test_a_plan_on_another_partition_is_moved_and_runs_once(
    system: Live, key: bytes | None
) -> None:
    """R36: whatever the key, from each partition; headers go along."""
    count = system.system.settings.partitions

    async def sent(made: dict[str, Any], partition: int) -> Trail:
        value = json.dumps(made).encode()
        await system.send(value, key, partition=partition, headers=HEADERS)
        return await system.ledger.ended(made["plan"]["id"])

    made = [submission(step()) for _ in range(count)]
    for partition, each in enumerate(made):
        trail = system.run(sent(each, partition))
        assert trail.result.status is Status.SUCCESS
        plan_id = each["plan"]["id"]
        assert trail.records[0].partition == system.place_of(plan_id)
        (done,) = trail.succeeded().values()
        assert len(done) == 1
    check_moves(system, made)


def check_moves(system: Live, made: list[dict[str, Any]]) -> None:
    """Each plan lies on its own partition once, as sent but for the key."""
    records = system.run(system.system.read(system.system.topics.plans))
    moves = 0
    for partition, each in enumerate(made):
        plan_id, value = each["plan"]["id"], json.dumps(each).encode()
        own = system.place_of(plan_id)
        copies = [record for record in records if record.value == value]
        assert [record.partition for record in copies].count(own) == 1
        if partition != own:
            moves += 1
            (moved,) = [record for record in copies if record.partition == own]
            assert moved.key == plan_id.encode()
            assert list(moved.headers) == HEADERS
    assert moves or len(made) < 2


def test_plans_hashed_by_another_client_are_moved(system: Live) -> None:
    """R36: librdkafka's default is a CRC of the key; ten plans, each executed once."""
    made = [submission(step()) for _ in range(10)]
    count = system.system.settings.partitions

    async def sent(each: dict[str, Any]) -> Trail:
        key = each["plan"]["id"].encode()
        await system.send(
            json.dumps(each).encode(), key, partition=zlib.crc32(key) % count
        )
        return await system.ledger.ended(each["plan"]["id"])

    for each in made:
        trail = system.run(sent(each))
        assert [len(done) for done in trail.succeeded().values()] == [1]


# -- duplicates


def test_equal_bytes_at_another_offset_are_a_duplicate(system: Live) -> None:
    """R14: refused while the plan runs and after it has ended; one result."""
    made = submission(step("sleep", {"ms": 700}))
    value, plan_id = json.dumps(made).encode(), made["plan"]["id"]

    async def twice() -> Trail:
        await system.send(value, plan_id.encode())
        place = await system.send(value, plan_id.encode())
        await system.ledger.dead_letter(place)
        assert not system.ledger.trails[plan_id].results
        return await system.ledger.ended(plan_id)

    assert system.run(twice()).result.status is Status.SUCCESS
    key = plan_id.encode()
    letter = system.rejected(value, "DUPLICATE_EXECUTION", key=key)
    assert letter.key == key


def test_a_used_plan_id_is_a_duplicate_under_any_execution_id(system: Live) -> None:
    """R14: looked for before anything is validated; success, partial, failure alike."""
    for on_failure, count in (("skip", 1), ("skip", 0), ("halt", 0)):
        steps = [step("fail", on_failure=on_failure), *chain(count)]
        made = submission(*steps)
        system.execute(made)
        key = made["plan"]["id"].encode()
        again = {**made, "execution_id": new_id()}
        system.rejected(json.dumps(again).encode(), "DUPLICATE_EXECUTION", key=key)
        invalid = {**again, "started_at": "never", "plan": {"id": made["plan"]["id"]}}
        system.rejected(json.dumps(invalid).encode(), "DUPLICATE_EXECUTION", key=key)
        system.rejected(write_avro(again), "DUPLICATE_EXECUTION", key=key)


def test_the_ids_of_a_refused_plan_are_used_up(system: Live) -> None:
    """R14: it has a result; a corrected plan needs an id of its own."""
    made = submission(step(), version=2)
    assert system.execute(made).result.status is Status.FAILURE
    made["plan"]["version"] = 1
    key = made["plan"]["id"].encode()
    system.rejected(json.dumps(made).encode(), "DUPLICATE_EXECUTION", key=key)


def test_the_ids_of_a_dead_letter_are_free(system: Live) -> None:
    """R14: what was never read can be sent again, corrected."""
    made = submission(step())
    broken = json.dumps(made)[:-1].encode()
    system.rejected(broken, "MALFORMED", key=made["plan"]["id"].encode())
    assert system.execute(made).result.status is Status.SUCCESS


# -- what is refused


Change = Callable[[dict[str, Any]], None]


def change(*path: str | int, to: Any) -> Change:
    """Set a member of a submission."""

    def make(made: dict[str, Any]) -> None:
        inner: Any = made
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = to

    return make


def close_a_circle(made: dict[str, Any]) -> None:
    first, second = made["plan"]["steps"]
    first["depends_on"] = [second["id"]]
    second["depends_on"] = [first["id"]]


REFUSED: dict[str, tuple[Change, str, str, str]] = {
    "another version (R1)": (
        *(change("plan", "version", to=2), "INVALID_PAYLOAD", "schema"),
        "plan.version",
    ),
    "an unknown member": (
        *(change("plan", "stepz", to=[]), "INVALID_PAYLOAD", "schema"),
        "plan.stepz",
    ),
    "no steps": (
        *(change("plan", "steps", to=[]), "INVALID_PAYLOAD", "schema"),
        "plan.steps",
    ),
    "true for an int": (
        *(change("plan", "priority", to=True), "INVALID_PAYLOAD", "schema"),
        "plan.priority",
    ),
    "text for an int": (
        *(change("started_at", to="1"), "INVALID_PAYLOAD", "schema"),
        "started_at",
    ),
    "a step's action is empty": (
        *(change("plan", "steps", 1, "action", to=""), "INVALID_PAYLOAD", "schema"),
        "plan.steps[1].action",
    ),
    "an unknown policy": (
        *(change("plan", "steps", 0, "on_failure", to="ask"), "INVALID_PAYLOAD"),
        *("schema", "plan.steps[0].on_failure"),
    ),
    "a dependency that is not there": (
        *(change("plan", "steps", 0, "depends_on", to=[new_id()]),),
        *("DEPENDENCY_UNRESOLVED", "dependencies", "plan.steps[0].depends_on[0]"),
    ),
    "a cycle": (
        *(close_a_circle, "DEPENDENCY_UNRESOLVED", "dependencies"),
        "plan.steps[0].depends_on",
    ),
    "a window that is too small": (
        *(change("plan", "timeout_ms", to=10**9), "DEADLINE_EXCEEDED", "window"),
        "deadline_ms",
    ),
    "a deadline before the start": (
        *(change("started_at", to=10**14), "DEADLINE_EXCEEDED", "window"),
        "deadline_ms",
    ),
    "a missing environment key": (
        *(change("environment", to={}), "CONTEXT_MISSING", "environment"),
        "environment.where",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_invalid_plan_is_refused_with_its_violation(system: Live, kind: str) -> None:
    """Refusals, R20, R35: a failure of its class's code, the path in the context."""
    break_it, code, class_, path = REFUSED[kind]
    made = submission(step(), step())
    break_it(made)
    trail = system.execute(made)
    result, error = trail.result, trail.error
    assert result.status is Status.FAILURE
    assert (error.error_code, error.step_id) == (code, None)
    assert (error.severity.value, error.recoverable) == ("fatal", False)
    assert (result.steps_executed, result.result_payload) == (0, {})
    assert result.steps_total == len(made["plan"]["steps"])
    found = [(each["class"], each["path"]) for each in violations(trail)]
    assert found
    assert found[0][0] == class_
    assert any(where.startswith(path) for _, where in found), found
    assert trail.audit.outcome is Status.FAILURE
    assert trail.event.event.value == "plan_execution_failure"
    assert not trail.outcomes
    assert not requests_of(system, made)


def test_a_refusal_lists_the_violations_of_all_classes(system: Live) -> None:
    """R35: ordered by class; the first class decides the code."""
    made = submission(step(), step())
    made["plan"]["steps"][0]["action"] = ""
    made["plan"]["steps"][1]["depends_on"] = [new_id()]
    made["plan"]["timeout_ms"] = 10**9
    made["plan"]["context_requirements"] = ["secret"]
    trail = system.execute(made)
    assert trail.error.error_code == "INVALID_PAYLOAD"
    classes = [each["class"] for each in violations(trail)]
    assert classes == ["schema", "dependencies", "window", "environment"]


def test_a_refusal_lists_fifty_violations_and_counts_all(system: Live) -> None:
    """R35: bounded, and no opaque value in it."""
    steps = [step("", {"secret": "hunter2"}, nonsense=1) for _ in range(40)]
    trail = system.execute(submission(*steps))
    context = json.loads(trail.error.context)
    assert len(context["violations"]) == 50
    assert context["violations_total"] == 80
    assert "hunter2" not in trail.error.message + trail.error.context


def test_a_deadline_that_is_past_is_refused(system: Live) -> None:
    """Refusals, R34: DEADLINE_EXCEEDED at admission, the window itself being right."""
    made = submission(step())
    made["started_at"] = now_ms() - 1_000_000
    made["deadline_ms"] = made["started_at"] + 500_000
    trail = system.execute(made)
    assert trail.error.error_code == "DEADLINE_EXCEEDED"
    assert [each["path"] for each in violations(trail)] == ["deadline_ms"]
    result = trail.result
    assert result.duration_ms == result.completed_at - made["started_at"] >= 1_000_000


def test_a_refused_plan_without_a_start_began_at_its_admission(system: Live) -> None:
    """R32: duration 0 when started_at is missing or invalid."""
    for broken in ("soon", -5, None):
        made = submission(step())
        made["started_at"] = broken
        assert system.execute(made).result.duration_ms == 0
    made = submission(step())
    del made["started_at"]
    assert system.execute(made).result.duration_ms == 0


def test_a_refused_plans_result_tells_whose_it_is(system: Live) -> None:
    """R41: headers and event with what the submitter gave, as far as it is sound."""
    members = {"user_id": 7, "correlation_context": {"trace": "abc"}}
    trail = system.execute(submission(members=members))
    assert ("trace", b"abc") in trail.records[0].headers
    assert trail.event.correlation_context == {"trace": "abc"}
    assert trail.event.user_id is None
    assert trail.result.steps_total == 0


def test_a_start_in_the_future_does_not_make_a_negative_duration(system: Live) -> None:
    """R32: completed_at = max(clock, started_at)."""
    made = submission(step())
    made["started_at"] += 3_600_000
    made["deadline_ms"] += 3_600_000
    result = system.execute(made).result
    assert result.status is Status.SUCCESS
    assert (result.completed_at, result.duration_ms) == (made["started_at"], 0)


# -- always


def test_every_plan_has_one_result_one_audit_and_one_event(system: Live) -> None:
    """I1, I7: refused ones too; nothing of them is left in the tables."""
    system.run(system.ledger.catch_up())
    assert len(system.ledger.trails) > 20
    for plan_id, trail in system.ledger.trails.items():
        counts = (len(trail.results), len(trail.audits), len(trail.events))
        assert counts == (1, 1, 1), plan_id
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
