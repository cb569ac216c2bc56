"""What foreign producers may send, and what is answered to each of it."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schemas import codec
from schemas.results import Status
from schemas.steps import StepRequest
from schemas.validation import peek_ids
from streams.topics import partition_of
from tests.conftest import Broker
from tests.integration.foreign import read_avro, write_avro, write_fields
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import Live, live
from tests.integration.plans import chain, new_id, now_ms, step, submission
from tests.integration.system import eventually

MAX_BYTES = 1_048_576
HEADERS = [("trace", b"\xff\x00"), ("trace", b"again"), ("reason", b"mine")]
ADDED = [
    "reason",
    "reason-detail",
    "source-topic",
    "source-partition",
    "source-offset",
    "source-timestamp",
]


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(kafka, tmp_path_factory.mktemp("admission")) as system:
        yield system


def place_of(system: Live, plan_id: str) -> int:
    """The partition where a plan belongs (R36)."""
    return partition_of(plan_id.encode(), system.system.settings.partitions)


def produce(system: Live, value: bytes, made: dict[str, Any], **how: Any) -> Trail:
    """Send a submission's bytes, keyed by its plan's id, and wait for its end."""

    async def sent() -> Trail:
        plan_id = made["plan"]["id"]
        await system.send(value, plan_id.encode(), **how)
        return await system.ledger.ended(plan_id)

    return system.run(sent())


def rejected(system: Live, value: bytes | None, reason: str, **how: Any) -> Any:
    """Send a record, and wait for its dead letter with this reason."""

    async def sent() -> Any:
        place = await system.send(value, **how)
        return await system.ledger.dead_letter(place)

    letter = system.run(sent())
    headers = letter.headers[-len(ADDED) :]
    assert (dict(headers)["reason"], letter.value) == (reason.encode(), value)
    return letter


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
        trail = produce(system, layout(made).encode(), made)
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
    trail = produce(system, text.encode(), made)
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
    trail = produce(system, write_avro(made), made)
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
    produce(system, write_fields(fields), made)
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
        assert trail.records[0].partition == place_of(system, plan_id)
        (done,) = trail.succeeded().values()
        assert len(done) == 1
    check_moves(system, made)


def check_moves(system: Live, made: list[dict[str, Any]]) -> None:
    """Each plan lies on its own partition once, as sent but for the key."""
    records = system.run(system.system.read(system.system.topics.plans))
    moves = 0
    for partition, each in enumerate(made):
        plan_id, value = each["plan"]["id"], json.dumps(each).encode()
        own = place_of(system, plan_id)
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


# -- what is rejected


def malformed() -> dict[str, bytes | None]:
    """Records that are no submission at all, by what is wrong with them."""
    text = json.dumps(submission(step()))
    avro = write_avro(submission(step()))
    twice = text.replace('"version"', f'"id": "{new_id()}", "version"')
    return {
        "garbage": b"garbage",
        "binary garbage": bytes(range(1, 256)),
        "empty": b"",
        "tombstone": None,
        "half of it": text[:-20].encode(),
        "something after it": text.encode() + b"{}",
        "duplicate members": twice.encode(),
        "duplicate members of a payload": text.replace(
            '"payload": {}', '"payload": {"a": 1, "a": 2}'
        ).encode(),
        "BOM": b"\xef\xbb\xbf" + text.encode(),
        "UTF-16": text.encode("utf-16"),
        "no UTF-8": text.replace("a test", "\u00e9").encode("latin-1"),
        "NaN": text.replace('"here"', "NaN").encode(),
        "Infinity": text.replace('"here"', "-Infinity").encode(),
        "lone surrogate": text.replace('"here"', '"\\ud800"').encode(),
        "trailing comma": text.replace('"here"', '"here",').encode(),
        "a list": b"[1]",
        "a number": b"17",
        "null": b"null",
        "truncated Avro": avro[:-5],
        "Avro with a tail": avro + b"\0",
        "Avro header alone": avro[:10],
        "half an Avro header": avro[:5],
        "Avro of another schema": avro[:2] + b"12345678" + avro[10:],
        "registry framing": b"\0\0\0\0\x01" + avro[10:],
    }


@pytest.mark.parametrize("kind", malformed())
def test_what_cannot_be_read_becomes_a_dead_letter(system: Live, kind: str) -> None:
    """R37, R38: MALFORMED; key, value and headers untouched, the reason after them."""
    value = malformed()[kind]

    async def sent() -> tuple[Any, Any]:
        place = await system.send(value, b"\x00key", headers=HEADERS)
        return place, await system.ledger.dead_letter(place)

    place, letter = system.run(sent())
    assert (letter.key, letter.value) == (b"\x00key", value)
    assert list(letter.headers[:-6]) == HEADERS
    assert [name for name, _ in letter.headers[-6:]] == ADDED
    added = dict(letter.headers[-6:])
    assert added["reason"] == b"MALFORMED"
    assert added["reason-detail"]
    assert added["source-topic"].decode() == system.system.topics.plans.name
    assert int(added["source-partition"]) == place.partition
    assert int(added["source-offset"]) == place.offset
    assert int(added["source-timestamp"]) == place.timestamp


def test_a_dead_letter_tells_the_position_in_the_value(system: Live) -> None:
    """R38: where in the bytes the reader stopped."""
    letter = rejected(system, b'{"plan": {"id": tru}}', "MALFORMED")
    assert b"16" in dict(letter.headers)["reason-detail"]


def without_ids() -> dict[str, dict[str, Any]]:
    """Submissions whose ids are not both valid."""
    made = {name: submission(step()) for name in ["a", "b", "c", "d", "e", "f", "g"]}
    made["a"]["plan"]["id"] = made["a"]["plan"]["id"].upper().replace("0", "A")
    made["b"]["plan"]["id"] = "00000000-0000-1000-8000-000000000000"
    made["c"]["plan"]["id"] = None
    del made["d"]["execution_id"]
    made["e"]["execution_id"] = made["e"]["execution_id"].replace("-", "")
    made["f"]["plan"] = "a plan"
    made["g"]["plan"]["id"] = f" {new_id()}"
    return {
        "upper case": made["a"],
        "version 1": made["b"],
        "null": made["c"],
        "no execution id": made["d"],
        "no hyphens": made["e"],
        "plan is no object": made["f"],
        "a blank": made["g"],
        "nothing at all": {},
    }


@pytest.mark.parametrize("kind", without_ids())
def test_a_record_without_both_ids_becomes_a_dead_letter(
    system: Live, kind: str
) -> None:
    """Refusals, R34, R38: INVALID_ID, as there is nobody to answer to."""
    rejected(system, json.dumps(without_ids()[kind]).encode(), "INVALID_ID")


def test_avro_without_valid_ids_becomes_a_dead_letter(system: Live) -> None:
    """R38: the same in Avro."""
    made = submission(step())
    made["execution_id"] = "17"
    rejected(system, write_avro(made), "INVALID_ID")


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
    letter = rejected(system, value, "DUPLICATE_EXECUTION", key=key)
    assert letter.key == key


def test_a_used_plan_id_is_a_duplicate_under_any_execution_id(system: Live) -> None:
    """R14: looked for before anything is validated; success, partial, failure alike."""
    for on_failure, count in (("skip", 1), ("skip", 0), ("halt", 0)):
        steps = [step("fail", on_failure=on_failure), *chain(count)]
        made = submission(*steps)
        system.execute(made)
        key = made["plan"]["id"].encode()
        again = {**made, "execution_id": new_id()}
        rejected(system, json.dumps(again).encode(), "DUPLICATE_EXECUTION", key=key)
        invalid = {**again, "started_at": "never", "plan": {"id": made["plan"]["id"]}}
        rejected(system, json.dumps(invalid).encode(), "DUPLICATE_EXECUTION", key=key)
        rejected(system, write_avro(again), "DUPLICATE_EXECUTION", key=key)


def test_the_ids_of_a_refused_plan_are_used_up(system: Live) -> None:
    """R14: it has a result; a corrected plan needs an id of its own."""
    made = submission(step(), version=2)
    assert system.execute(made).result.status is Status.FAILURE
    made["plan"]["version"] = 1
    key = made["plan"]["id"].encode()
    rejected(system, json.dumps(made).encode(), "DUPLICATE_EXECUTION", key=key)


def test_the_ids_of_a_dead_letter_are_free(system: Live) -> None:
    """R14: what was never read can be sent again, corrected."""
    made = submission(step())
    broken = json.dumps(made)[:-1].encode()
    rejected(system, broken, "MALFORMED", key=made["plan"]["id"].encode())
    assert system.execute(made).result.status is Status.SUCCESS


# -- too much


def padded(size: int, made: dict[str, Any]) -> bytes:
    """A submission as JSON of exactly so many bytes."""
    value = json.dumps(made).encode()
    return value + b" " * (size - len(value))


def test_a_submission_may_be_as_large_as_the_limit(system: Live) -> None:
    """R38: max_submission_bytes counts the value's bytes."""
    made = submission(step())
    trail = produce(system, padded(MAX_BYTES, made), made)
    assert trail.result.status is Status.SUCCESS


def test_a_larger_submission_is_refused(system: Live) -> None:
    """Refusals: RESOURCE_EXHAUSTED when its ids can be read; the topic takes it."""
    for size in (MAX_BYTES + 1, 7_000_000):
        made = submission(step(), step())
        trail = produce(system, padded(size, made), made)
        assert trail.result.status is Status.FAILURE
        assert trail.error.error_code == "RESOURCE_EXHAUSTED"
        assert trail.result.steps_total == 2


def test_a_larger_submission_without_ids_becomes_a_dead_letter(system: Live) -> None:
    """Refusals, R38: TOO_LARGE."""
    made = submission(step())
    del made["execution_id"]
    rejected(system, padded(MAX_BYTES + 1, made), "TOO_LARGE")


def nested(depth: int, made: dict[str, Any]) -> bytes:
    """A submission whose environment nests so deep, the record included."""
    inner = "[" * (depth - 2) + "]" * (depth - 2)
    return json.dumps(made).replace('"here"', inner).encode()


def test_a_submission_may_nest_as_deep_as_the_limit(system: Live) -> None:
    """R37: 200 levels are admitted, and reach the handler."""
    made = submission(step("depth", {"name": "where"}))
    trail = produce(system, nested(200, made), made)
    assert trail.result.status is Status.SUCCESS, trail.result
    assert list(trail.result.result_payload.values()) == ["198"]


@pytest.mark.parametrize("depth", [201, 5_000, 300_000])
def test_a_deeper_submission_is_refused(system: Live, depth: int) -> None:
    """R37: RESOURCE_EXHAUSTED when its ids can be read, else TOO_DEEP."""
    made = submission(step())
    trail = produce(system, nested(depth, made), made)
    assert trail.result.status is Status.FAILURE
    assert trail.error.error_code == "RESOURCE_EXHAUSTED"
    made = submission(step())
    del made["execution_id"]
    rejected(system, nested(depth, made), "TOO_DEEP")


def test_deep_text_in_an_avro_record_harms_nobody(system: Live) -> None:
    """R37: a refusal, however deep."""
    for depth in (201, 100_000):
        made = submission(step())
        fields = {**made, "environment": {"where": "[" * depth + "]" * depth}}
        fields["plan"]["steps"][0]["payload"] = "{}"
        trail = produce(system, write_fields(fields), made)
        assert trail.result.status is Status.FAILURE
        assert trail.result.steps_executed == 0


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


def test_good_plans_pass_between_bad_records(system: Live) -> None:
    """A partition goes on after whatever lies on it; nothing is lost on the way."""
    bad = [value for value in malformed().values() if value]
    good = [submission(step()) for _ in range(20)]

    async def mixed() -> list[Trail]:
        for number, made in enumerate(good):
            for partition in range(system.system.settings.partitions):
                await system.send(bad[number % len(bad)], partition=partition)
            await system.submit(made)
        ends = [system.ledger.ended(made["plan"]["id"]) for made in good]
        return list(await asyncio.gather(*ends))

    assert all(each.result.status is Status.SUCCESS for each in system.run(mixed()))


# -- always


def test_every_record_ends_in_one_result_or_one_dead_letter(system: Live) -> None:
    """I1: but for those that were moved, whose copies do."""
    system.run(system.ledger.catch_up())
    for plan_id, trail in system.ledger.trails.items():
        counts = (len(trail.results), len(trail.audits), len(trail.events))
        assert counts == (1, 1, 1), plan_id
    headers = [dict(letter.headers[-6:]) for letter in system.ledger.rejected]
    sources = [
        (int(each["source-partition"]), int(each["source-offset"])) for each in headers
    ]
    assert len(sources) == len(set(sources)) > 20
    answered = []
    for record in system.run(system.system.read(system.system.topics.plans)):
        if (record.partition, record.offset) not in sources:
            ids = peek_ids(record.value)
            assert ids is not None, record
            if place_of(system, ids.plan_id) == record.partition:
                answered.append(ids.plan_id)
    assert sorted(answered) == sorted(system.ledger.trails)


def test_tables_are_empty_but_for_the_registry(system: Live) -> None:
    """I7, U3: refused plans and dead letters leave no rows behind."""
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
