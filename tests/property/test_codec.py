"""Records of every model survive both formats."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from schemas.avro_format import HEADER_BYTES
from schemas.codec import (
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
from schemas.commands import DeadlineFired, ParentEnded, RetryDue
from schemas.context import PlanSubmission
from schemas.events import PlanExecutionEvent
from schemas.opaque import dump, load, merge
from schemas.record import Record
from schemas.results import ExecutionAudit, PlanResult
from schemas.rows import PlanRow, RegistryRow, StepRow
from schemas.steps import (
    ChildEnded,
    ExecutionHalted,
    ParentReference,
    StepFailed,
    StepRequest,
    StepStarted,
    StepSucceeded,
    StepWarned,
)
from tests.property.strategies import (
    json_objects,
    json_texts,
    json_values,
    records,
    texts,
)

TRAVELLING: list[type[Record]] = [
    ChildEnded,
    DeadlineFired,
    ExecutionAudit,
    ExecutionHalted,
    ParentEnded,
    ParentReference,
    PlanExecutionEvent,
    PlanResult,
    PlanSubmission,
    RetryDue,
    StepFailed,
    StepRequest,
    StepStarted,
    StepSucceeded,
    StepWarned,
]
Sample = tuple[type[Record], dict[str, Any]]

ROWS: list[type[Record]] = [
    ParentEnded,
    ParentReference,
    PlanRow,
    RegistryRow,
    StepRow,
]

travelling = st.sampled_from(TRAVELLING).flatmap(
    lambda model: st.tuples(st.just(model), records(model))
)
rows = st.sampled_from(ROWS).flatmap(
    lambda model: st.tuples(st.just(model), records(model))
)
formats = st.sampled_from(Format)


@given(travelling, formats)
def test_records_come_back(sample: Sample, fmt: Format) -> None:
    """A model is decoded equal to the one encoded, in either format."""
    model, fields = sample
    record = model.model_validate(fields)
    data = encode(record, fmt)
    assert decode(data, model) == record
    assert encode_fields(model, fields, fmt) == data


@given(travelling, formats)
def test_fields_come_back(sample: Sample, fmt: Format) -> None:
    """Decoded fields stand for the same record as those encoded."""
    model, fields = sample
    found, decoded = decode_fields(encode_fields(model, fields, fmt), model)
    assert found is model
    assert list(decoded) == list(model.model_fields)
    assert model.model_validate(decoded) == model.model_validate(fields)


@given(travelling)
def test_json_is_json(sample: Sample) -> None:
    """Whatever is written as JSON, pretty or not, is JSON that says the same."""
    model, fields = sample
    record = model.model_validate(fields)
    assert json.loads(to_json(record, pretty=True)) == json.loads(to_json(record))


@given(st.one_of(travelling, rows))
def test_avro_is_avro(sample: Sample) -> None:
    """Fastavro's reader finds in our Avro what our own reader finds."""
    model, fields = sample
    data = encode_fields(model, fields)
    stream = BytesIO(data[HEADER_BYTES:])
    assert schemaless_reader(stream, schema_of(model), None) == fields
    assert not stream.read()
    assert decode_fields(data, model) == (model, fields)


@given(st.one_of(travelling, rows))
def test_avro_is_what_fastavro_writes(sample: Sample) -> None:
    """Byte by byte."""
    model, fields = sample
    stream = BytesIO()
    schemaless_writer(stream, schema_of(model), fields)
    assert encode_fields(model, fields)[HEADER_BYTES:] == stream.getvalue()


@given(rows)
def test_rows_come_back(sample: Sample) -> None:
    """Table rows are decoded to the fields encoded."""
    model, fields = sample
    assert decode_row(model, encode_row(model, fields)) == fields


@pytest.mark.parametrize("fmt", list(Format))
@given(texts, json_texts(), json_objects)
def test_opaque_texts_stay(fmt: Format, name: str, text: str, metadata: str) -> None:
    """An environment value arrives byte for byte, in whichever format (F12)."""
    fields: dict[str, Any] = {
        "plan": {
            "id": "a",
            "version": 1,
            "created_at": 1,
            "steps": [],
            "name": "n",
            "context_requirements": [],
            "priority": 0,
            "timeout_ms": 1,
            "retry_policy": {
                "max_attempts": 1,
                "backoff_ms": 0,
                "backoff_multiplier": 1.0,
                "max_backoff_ms": 0,
                "retryable_error_codes": [],
            },
            "metadata": metadata,
            "tags": [],
            "estimated_duration_ms": None,
        },
        "execution_id": "b",
        "started_at": 1,
        "deadline_ms": 2,
        "environment": {name: text},
        "parent_execution_id": None,
        "user_id": None,
        "request_id": None,
        "correlation_context": None,
    }
    data = encode_fields(PlanSubmission, fields, fmt)
    assert decode_fields(data, PlanSubmission) == (PlanSubmission, fields)


@given(json_values)
def test_dumped_values_come_back(value: Any) -> None:
    """What `dump` writes, `load` reads."""
    assert load(dump(value)) == value


@given(json_objects, st.dictionaries(texts, json_values, max_size=3))
def test_merge(text: str, members: dict[str, Any]) -> None:
    """A merged object is what updating a dict would make of it."""
    assert load(merge(text, members)) == {**load(text), **members}
