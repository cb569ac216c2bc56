from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from fastavro.schema import to_parsing_canonical_form

from schemas import avro_format, avro_releases
from schemas.avro_format import SCHEMAS, header_for, schema_of
from schemas.avro_releases import (
    RELEASES,
    ROW_RELEASES,
    ROW_VERSION,
    releases,
    resolution,
    schema_in,
)
from schemas.avro_writer import writer_of
from schemas.codec import DecodeError, decode_fields, decode_row
from schemas.commands import ParentEnded
from schemas.context import PlanSubmission
from schemas.errors import ExecutionError
from schemas.plan import Plan
from schemas.record import Record
from schemas.results import PlanResult
from schemas.rows import PlanRow, RegistryRow, StepRow
from schemas.steps import ParentReference, StepFailed, StepReference
from tests.unit.schemas.factories import error, models, reference

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))
ROWS: tuple[type[Record], ...] = (
    *(PlanRow, StepRow, RegistryRow),
    *(ParentReference, ParentEnded),
)
MODELS = {model.__name__: model for model in models() if model is not StepReference}


def samples() -> list[Any]:
    """Every record of every release: its model, bytes, and what it says."""
    return [
        pytest.param(
            MODELS[name],
            bytes.fromhex(sample["record"]),
            sample["fields"],
            id=f"{path.stem}-{name}",
        )
        for path in SAMPLES
        for name, sample in json.loads(path.read_text("utf-8")).items()
    ]


@pytest.fixture
def a_release_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The schemas of a release that a test makes up, as they are today."""
    directory = tmp_path / "0.0.9"
    copytree(SCHEMAS, directory, ignore=lambda *_: ["releases"])
    caches = (avro_format._earlier, avro_format._earlier_row)
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setattr(avro_releases, "RELEASES", tmp_path)
    monkeypatch.setattr(avro_format, "RELEASES", tmp_path)
    yield directory
    for cached in caches:
        cached.cache_clear()


def change(directory: Path, model: str, **fields: Any) -> None:
    """Change fields of a schema: None takes one away, else it is added in front."""
    path = directory / f"planstream.{model}.avsc"
    schema = json.loads(path.read_text("utf-8"))
    kept = [each for each in schema["fields"] if each["name"] not in fields]
    added = [{"name": name, **fields[name]} for name in fields if fields[name]]
    schema["fields"] = [*added, *kept]
    path.write_text(json.dumps(schema), "utf-8")


def written(directory: Path, model: type[Record], fields: dict[str, Any]) -> bytes:
    """Write a record by the release's schema, without what begins it."""
    schema = schema_in(directory, model.__name__)
    assert schema is not None
    pieces: list[bytes] = []
    writer_of(schema)(fields, pieces)
    return b"".join(pieces)


def record(directory: Path, model: type[Record], fields: dict[str, Any]) -> bytes:
    """Write a record by the release's schema."""
    schema = schema_in(directory, model.__name__)
    assert schema is not None
    return header_for(schema) + written(directory, model, fields)


@pytest.mark.parametrize(("model", "data", "fields"), samples())
def test_records_of_every_release_are_read(
    model: type[Record], data: bytes, fields: dict[str, Any]
) -> None:
    """What lies on topics and in changelogs since then says what it said."""
    if model in ROWS and data[0] != avro_format.MAGIC[0]:
        read = decode_row(model, data)
    else:
        _, read = decode_fields(data, model)
    assert set(read) == set(model.model_fields)
    assert {name: _plain(read[name]) for name in fields if name in read} == {
        name: value for name, value in fields.items() if name in read
    }


def _plain(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def test_every_release_has_samples_and_schemas() -> None:
    """Of the same models, so that no record of a release is forgotten."""
    assert [path.stem for path in SAMPLES] == [path.name for path in releases()]
    assert "0.1.0" in {path.stem for path in SAMPLES}
    for path in SAMPLES:
        names = set(json.loads(path.read_text("utf-8")))
        schemas = {each.stem.split(".")[1] for each in (RELEASES / path.stem).iterdir()}
        assert names <= schemas
        kinds = [schema_in(RELEASES / path.stem, name) for name in schemas]
        records = {kind["name"].split(".")[1] for kind in kinds if kind}
        assert names == records


@pytest.mark.parametrize("directory", releases(), ids=lambda path: path.name)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_schema_of_every_release_resolves(directory: Path, name: str) -> None:
    """A field without a default, or a type that differs, would be noticed here."""
    schema = schema_in(directory, name)
    if schema is not None:
        assert callable(resolution(schema, schema_of(MODELS[name])))


@pytest.mark.parametrize("model", ROWS)
def test_changed_rows_have_a_new_version(model: type[Record]) -> None:
    """A row has no fingerprint: its version says whose schema it follows."""
    schema = schema_in(RELEASES / ROW_RELEASES[ROW_VERSION], model.__name__)
    assert schema is not None
    today, then = map(to_parsing_canonical_form, (schema_of(model), schema))
    assert today == then, "add a version to ROW_RELEASES"


def test_a_new_field_has_its_default(a_release_before: Path) -> None:
    """A record written before the field was there is read as if it said the default."""
    change(a_release_before, "ExecutionError", step_id=None, context=None)
    fields = {**error(), "cause": error()}
    for each in (fields, fields["cause"]):
        del each["step_id"], each["context"]
    data = record(a_release_before, ExecutionError, fields)
    assert data[:10] != avro_format.header_of(ExecutionError)
    _, read = decode_fields(data, PlanResult, ExecutionError)
    assert read == {
        **error(step_id=None, context="{}"),
        "cause": error(step_id=None, context="{}"),
    }


def test_a_field_that_is_gone_is_dropped(a_release_before: Path) -> None:
    """Nested ones too, wherever they lie."""
    change(a_release_before, "StepFailed", host={"type": "string"})
    change(a_release_before, "ExecutionError", hint={"type": "string"})
    times = {"started_at": 1, "ended_at": 2}
    fields = {**reference(), **times, "worker": "w", "error": error()}
    old = {**fields, "host": "h", "error": {**error(), "hint": "?"}}
    _, read = decode_fields(record(a_release_before, StepFailed, old), StepFailed)
    assert read == fields


def test_a_row_of_an_earlier_version_is_read(
    a_release_before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the schema of its release, with defaults for what is new."""
    change(a_release_before, "StepRow", order=None, warnings=None)
    change(a_release_before, "StepRow", color={"type": "string"})
    monkeypatch.setattr(avro_format, "ROW_RELEASES", {7: "0.0.9"})
    row = {"state": 2, "attempt": 1, "changed_at": 5, "color": "red", "due_at": 0}
    row |= {"start_ids": [], "child_plan_id": None, "result": "1", "errors": [error()]}
    data = b"\x07" + written(a_release_before, StepRow, row)
    del row["color"]
    assert decode_row(StepRow, data) == {**row, "order": 0, "warnings": []}


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x63abc"])
def test_a_row_of_no_version_is_refused(data: bytes) -> None:
    """Such as one of a later release."""
    with pytest.raises(DecodeError, match="unknown version"):
        decode_row(StepRow, data)


def test_a_symbol_that_is_gone_is_refused(a_release_before: Path) -> None:
    """There is nothing that it could be read as."""
    path = a_release_before / "planstream.Severity.avsc"
    schema = json.loads(path.read_text("utf-8"))
    schema["symbols"].insert(0, "notice")
    path.write_text(json.dumps(schema), "utf-8")
    old = record(a_release_before, ExecutionError, error(severity="notice"))
    with pytest.raises(DecodeError, match="notice is no symbol"):
        decode_fields(old, ExecutionError)
    old = record(a_release_before, ExecutionError, error())
    assert decode_fields(old, ExecutionError)[1] == error()


def test_cut_records_of_earlier_releases_are_refused(a_release_before: Path) -> None:
    """As those of today are."""
    change(a_release_before, "ExecutionError", step_id=None)
    data = record(a_release_before, ExecutionError, error())
    with pytest.raises(DecodeError, match="too early"):
        decode_fields(data[:-1], ExecutionError)
    with pytest.raises(DecodeError, match="bytes are left"):
        decode_fields(data + b"\0", ExecutionError)


def test_what_cannot_be_read_is_noticed(a_release_before: Path) -> None:
    """A new field without a default, and another type."""
    change(a_release_before, "Plan", name=None)
    old = schema_in(a_release_before, "PlanSubmission")
    assert old is not None
    with pytest.raises(TypeError, match=r"Plan\.name is new and has no default"):
        resolution(old, schema_of(PlanSubmission))
    change(a_release_before, "Plan", name={"type": "long"})
    old = schema_in(a_release_before, "Plan")
    assert old is not None
    with pytest.raises(TypeError, match="cannot be read as"):
        resolution(old, schema_of(Plan))
