from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.avro_format import header_of
from schemas.codec import (
    DecodeError,
    DecodeReason,
    Format,
    decode,
    decode_fields,
    decode_row,
    encode,
    encode_fields,
    encode_row,
    schema_of,
    to_json,
)
from schemas.commands import DeadlineFired, RetryDue
from schemas.context import PlanSubmission
from schemas.errors import ExecutionError, make_error
from schemas.plan import Plan
from schemas.record import MAX_NESTING, Record
from schemas.results import PlanResult
from schemas.rows import PlanRow, StepRow
from schemas.steps import (
    ChildEnded,
    StepFailed,
    StepRequest,
    StepStarted,
    StepSucceeded,
    StepWarned,
)
from tests.unit.schemas.factories import (
    EXECUTION_ID,
    NOW,
    PLAN_ID,
    error,
    nested_error,
    reference,
    step_request,
    step_succeeded,
    submission,
    submission_reference,
    uuid4,
    without,
)

OUTCOMES = (StepStarted, StepSucceeded, StepFailed, StepWarned)
FORMATS = pytest.mark.parametrize("fmt", list(Format))


def refusal(data: bytes | None, *models: type[Record]) -> DecodeError:
    """The error that both ways of decoding end in."""
    with pytest.raises(DecodeError) as caught:
        decode_fields(data, *models)
    with pytest.raises(DecodeError) as again:
        decode(data, *models)
    assert str(again.value) == str(caught.value)
    return caught.value


@FORMATS
@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (PlanSubmission, submission()),
        (StepRequest, step_request()),
        (StepRequest, step_request() | {"environment_at": submission_reference()}),
        (StepSucceeded, step_succeeded()),
    ],
)
def test_fields_come_back(
    model: type[Record], fields: dict[str, Any], fmt: Format
) -> None:
    """What was encoded from fields is decoded to the same fields."""
    found, decoded = decode_fields(encode_fields(model, fields, fmt), model)
    assert found is model
    assert decoded == fields


@FORMATS
def test_nested_records_may_be_models(fmt: Format) -> None:
    """A nested record is taken as a model and as a dict of fields, with one result."""
    as_dict = {**reference(), "worker": "w", "started_at": NOW, "ended_at": NOW}
    as_dict["error"] = nested_error(3)
    as_model = {**as_dict, "error": ExecutionError.model_validate(as_dict["error"])}
    half = {**as_dict, "error": error(cause=as_model["error"].cause)}
    data = encode_fields(StepFailed, as_dict, fmt)
    assert encode_fields(StepFailed, as_model, fmt) == data
    assert encode_fields(StepFailed, half, fmt) == data
    assert decode(data, StepFailed) == StepFailed.model_validate(as_dict)


@FORMATS
def test_lists_of_models(fmt: Format) -> None:
    """Models are encoded with the records in their lists."""
    record = PlanSubmission.model_validate(submission())
    data = encode(record, fmt)
    assert data == encode_fields(PlanSubmission, submission(), fmt)
    assert decode(data, PlanSubmission) == record


@FORMATS
def test_kind_is_found(fmt: Format) -> None:
    """Of several models of a topic the right one is found."""
    data = encode_fields(StepSucceeded, step_succeeded(), fmt)
    assert decode_fields(data, *OUTCOMES)[0] is StepSucceeded
    assert type(decode(data, *OUTCOMES)) is StepSucceeded


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (StepSucceeded, "StepSucceeded"),
        (RetryDue, "RetryDue"),
        (DeadlineFired, "DeadlineFired"),
    ],
)
def test_shared_topics_name_the_kind(model: type[Record], expected: str) -> None:
    """JSON records of topics with several kinds begin with their type."""
    fields = dict.fromkeys(model.model_fields) | step_succeeded()
    text = encode_fields(model, fields, Format.JSON)
    assert text.startswith(f'{{"type":"{expected}",'.encode())


def test_other_topics_name_no_kind() -> None:
    """JSON records of topics with one kind have no type member, nor may they."""
    data = encode_fields(StepRequest, step_request(), Format.JSON)
    assert b'"type"' not in data
    error = refusal(data.replace(b"{", b'{"type":"StepRequest",', 1), StepRequest)
    assert "type" in error.detail


def test_type_may_stand_anywhere() -> None:
    """The type member is found wherever it stands, and never handed on."""
    fields = {**step_succeeded(), "result": {"receipt": 1}}
    data = json.dumps({**fields, "type": "StepSucceeded"}).encode()
    model, decoded = decode_fields(data, *OUTCOMES)
    assert model is StepSucceeded
    assert decoded == {**step_succeeded(), "result": '{"receipt": 1}'}


@pytest.mark.parametrize("kind", ['"StepRequest"', "3", "null", '["StepSucceeded"]'])
def test_unknown_type(kind: str) -> None:
    """A type that the topic does not carry is malformed."""
    error = refusal(f'{{"type": {kind}}}'.encode(), *OUTCOMES)
    assert error.reason is DecodeReason.MALFORMED
    assert "StepStarted, StepSucceeded, StepFailed, StepWarned" in error.detail


def test_missing_type() -> None:
    """Without a type member a record of such a topic is malformed."""
    assert "type" in refusal(b"{}", StepSucceeded).detail


@pytest.mark.parametrize("data", [None, b""])
def test_nothing(data: bytes | None) -> None:
    """A tombstone is malformed (R37), an empty value likewise."""
    assert refusal(data, PlanSubmission).reason is DecodeReason.MALFORMED


def test_schema_registry_framing() -> None:
    """The place of Confluent's framing is kept: it is told that none is configured."""
    error = refusal(b"\x00\x00\x00\x00\x01abc", PlanSubmission)
    assert error.reason is DecodeReason.MALFORMED
    assert "schema registry" in error.detail
    assert error.position == 0


def test_foreign_fingerprint() -> None:
    """An Avro record of another schema is malformed; its fingerprint is named."""
    data = b"\xc3\x01" + bytes.fromhex("0807060504030201") + b"rest"
    error = refusal(data, StepRequest, PlanSubmission)
    assert error.reason is DecodeReason.MALFORMED
    assert "0102030405060708" in error.detail
    assert "StepRequest, PlanSubmission" in error.detail


def test_model_of_another_topic() -> None:
    """A record of ours is malformed where another is asked for."""
    data = encode_fields(StepRequest, step_request())
    assert refusal(data, PlanSubmission).reason is DecodeReason.MALFORMED


@pytest.mark.parametrize("length", range(10))
def test_cut_header(length: int) -> None:
    """An Avro record that ends within its header is malformed."""
    data = encode_fields(StepRequest, step_request())[:length]
    assert refusal(data, StepRequest).reason is DecodeReason.MALFORMED


@FORMATS
def test_bytes_left_over(fmt: Format) -> None:
    """Bytes after a record are malformed; the position is where they begin."""
    data = encode_fields(StepSucceeded, step_succeeded(), fmt)
    error = refusal(data + b"\x00", StepSucceeded)
    assert error.reason is DecodeReason.MALFORMED
    assert error.position == len(data)


@FORMATS
def test_every_truncation(fmt: Format) -> None:
    """A record cut off anywhere is malformed."""
    data = encode_fields(StepRequest, step_request(), fmt)
    for length in range(len(data)):
        error = refusal(data[:length], StepRequest)
        assert error.reason is DecodeReason.MALFORMED


@FORMATS
def test_model_rules_hold_in_decode(fmt: Format) -> None:
    """`decode` refuses what the model refuses, and says where."""
    data = encode_fields(StepRequest, {**step_request(), "attempt": 0}, fmt)
    with pytest.raises(DecodeError, match=r"StepRequest\.attempt"):
        decode(data, StepRequest)


def test_json_fields_have_their_types() -> None:
    """`decode_fields` lets no JSON record through whose fields have other types."""
    fields = {**step_request(), "payload": {}, "environment": {}}
    for wrong in (
        without(fields, "action"),
        {**fields, "attempt": "1"},
        {**fields, "surplus": 1},
        {**fields, "environment": []},
    ):
        with pytest.raises(DecodeError):
            decode_fields(json.dumps(wrong).encode(), StepRequest)


def test_json_submissions_come_as_they_are() -> None:
    """A submission's fields are left as sent: judging them is validation's business."""
    _, fields = decode_fields(b'{"plan": {"steps": 3}, "x": [1]}', PlanSubmission)
    assert fields == {"plan": {"steps": 3}, "x": [1]}


@pytest.mark.parametrize("text", ["[]", "3", '"a"', "null", "true"])
def test_json_that_is_no_object(text: str) -> None:
    """A record is a JSON object."""
    error = refusal(text.encode(), PlanSubmission)
    assert error.reason is DecodeReason.MALFORMED


@FORMATS
def test_causes_to_the_limit(fmt: Format) -> None:
    """Errors nest as deep as records may; deeper is TOO_DEEP in both formats."""
    fields = {**reference(), "worker": "w", "started_at": NOW, "ended_at": NOW}
    deepest, deeper = nested_error(MAX_NESTING - 1), nested_error(MAX_NESTING)
    data = encode_fields(StepFailed, {**fields, "error": deepest}, fmt)
    assert decode(data, StepFailed).error.cause is not None
    assert decode_fields(data, StepFailed)[0] is StepFailed
    data = encode_fields(StepFailed, {**fields, "error": deeper}, fmt)
    assert refusal(data, StepFailed).reason is DecodeReason.TOO_DEEP


def test_rows() -> None:
    """A table row comes back as it was written."""
    row: dict[str, Any] = {
        "state": 5,
        "attempt": 2,
        "changed_at": NOW,
        "due_at": 0,
        "start_ids": ["a", "b"],
        "child_plan_id": None,
        "order": 1,
        "result": None,
        "errors": [nested_error(2), error()],
        "warnings": [{"step_id": uuid4(3), "code": "C", "message": "m", "at": NOW}],
    }
    assert decode_row(StepRow, encode_row(StepRow, row)) == row
    with_models = {**row, "errors": [ExecutionError(**each) for each in row["errors"]]}
    assert encode_row(StepRow, with_models) == encode_row(StepRow, row)


def test_rows_hold_bytes() -> None:
    """A plan's row holds the submission's bytes untouched, whatever they are."""
    row = {
        "execution_id": EXECUTION_ID,
        "admitted_at": NOW,
        "submission": bytes(range(256)),
        "environment_at": submission_reference(),
    }
    assert decode_row(PlanRow, encode_row(PlanRow, row)) == row


@pytest.mark.parametrize("data", [b"", b"\x02abc", b"\x01", b"\x01\x02"])
def test_broken_rows(data: bytes) -> None:
    """A row of another version, or a broken one, is a decode error."""
    with pytest.raises(DecodeError):
        decode_row(StepRow, data)


def test_to_json() -> None:
    """A record's JSON text embeds opaque values as they are written."""
    record = StepSucceeded.model_validate(step_succeeded())
    text = to_json(record)
    assert '"result":{"receipt":1.0e2}' in text
    assert json.loads(text)["step_number"] == 0


def test_pretty_json() -> None:
    """Pretty text is laid out over lines, and every number stays as it is written."""
    result = PlanResult(
        plan_id=PLAN_ID,
        execution_id=EXECUTION_ID,
        status="failure",  # type: ignore[arg-type]
        completed_at=NOW,
        duration_ms=0,
        steps_executed=0,
        steps_total=1,
        result_payload={uuid4(3): '{"a":[1.50,{}], "b":"x:{y"}'},
        error=make_error("X", 'said "é"'),
    )
    text = to_json(result, pretty=True)
    lines = text.splitlines()
    assert lines[:2] == ["{", f'  "plan_id": "{PLAN_ID}",']
    assert lines[10:16] == [
        '      "a": [',
        "        1.50,",
        "        {}",
        "      ],",
        '      "b": "x:{y"',
        "    }",
    ]
    assert json.loads(text) == json.loads(to_json(result))


def test_schema_of() -> None:
    """A model's schema stands for itself, with the types it refers to."""
    schema = schema_of(Plan)
    assert schema["name"] == "planstream.Plan"
    (steps,) = (field for field in schema["fields"] if field["name"] == "steps")
    assert steps["type"]["items"]["name"] == "planstream.PlanStep"


def test_header_tells_the_model() -> None:
    """Avro records begin with their model's header."""
    data = encode_fields(StepRequest, step_request())
    assert data.startswith(header_of(StepRequest))


@pytest.mark.parametrize("fmt", list(Format))
def test_the_result_of_a_child_that_failed_is_none(fmt: Format) -> None:
    """R39: an absent result is null in JSON, and not the text `null` when read."""
    step = {
        "plan_id": "e3e70682-c209-4cac-a29f-6fbed82c07cd",
        "execution_id": "f728b4fa-4248-4e3a-8a5d-2f346baa9455",
        "step_id": "eb1167b3-67a9-4378-bc65-c1e582e2e662",
        "step_number": 0,
        "attempt": 1,
        "child_plan_id": "f7c1bd87-4da5-4709-9471-3d60c8a70639",
        "start_id": "s",
    }
    failed = step | {"result": None, "error": make_error("BROKEN", "as asked")}
    _, fields = decode_fields(encode_fields(ChildEnded, failed, fmt), ChildEnded)
    assert fields["result"] is None
    done = step | {"result": '{"status" : "success"}', "error": None}
    _, fields = decode_fields(encode_fields(ChildEnded, done, fmt), ChildEnded)
    assert (fields["result"], fields["error"]) == ('{"status" : "success"}', None)
