from __future__ import annotations

import json
from enum import Enum
from inspect import isclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from fastavro.schema import to_parsing_canonical_form
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import schemas
from schemas import (
    commands,
    context,
    errors,
    events,
    plan,
    results,
    rows,
    status,
    steps,
)
from schemas.avro_format import header_of, schema_of
from schemas.record import Record
from tests.unit.schemas.factories import models

FAMILIES = (commands, context, errors, events, plan, results, rows, status, steps)
FILES = sorted((Path(schemas.__file__).parent / "avro").glob("*.avsc"))
BASES = {steps.StepReference}
MODELS = [model for model in models() if model not in BASES]
ENUMS = {
    kind.__name__: kind
    for family in FAMILIES
    for kind in vars(family).values()
    if isclass(kind) and issubclass(kind, Enum) and kind.__module__ == family.__name__
    if kind is not errors.ErrorCode  # an open set on the wire: handlers add codes
}
PRIMITIVES = {bool: "boolean", int: "long", float: "double", str: "string"}


def avro_type(annotation: Any) -> Any:
    """The Avro type that a model's annotation asks for."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return avro_type(arguments[0])
    if origin in {Union, UnionType}:
        (some,) = (each for each in arguments if each is not NoneType)
        return ["null", avro_type(some)]
    if origin is tuple:
        return {"type": "array", "items": avro_type(arguments[0])}
    if origin is dict:
        return {"type": "map", "values": avro_type(arguments[1])}
    if issubclass(annotation, Record) or annotation in ENUMS.values():
        return f"planstream.{annotation.__name__}"
    return "bytes" if annotation is bytes else PRIMITIVES[annotation]


def avro_default(value: Any) -> Any:
    """A model's default as Avro's JSON writes it."""
    if isinstance(value, BaseModel):
        return {name: avro_default(each) for name, each in value}
    return list(value) if isinstance(value, tuple) else value


def on_disk(name: str) -> dict[str, Any]:
    """The schema file of this name."""
    (path,) = (each for each in FILES if each.name == f"planstream.{name}.avsc")
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


@pytest.mark.parametrize("model", MODELS)
def test_fields_agree(model: type[Record]) -> None:
    """A model and its schema have the same fields, types and defaults, in one order."""
    expected = []
    for name, field in model.model_fields.items():
        entry = {"name": name, "type": avro_type(field.annotation)}
        if field.default is not PydanticUndefined:
            entry["default"] = avro_default(field.default)
        expected.append(entry)
    schema = on_disk(model.__name__)
    for field in schema["fields"]:
        field.pop("doc", None)
    assert schema["type"] == "record"
    assert schema["fields"] == expected


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_symbols_agree(name: str) -> None:
    """An enumeration and its schema have the same symbols, in one order."""
    schema = on_disk(name)
    assert schema["type"] == "enum"
    assert schema["symbols"] == [member.value for member in ENUMS[name]]


def test_each_schema_has_a_model() -> None:
    """No schema lies about that no model stands for, and none is missing."""
    kinds = {model.__name__ for model in MODELS} | set(ENUMS)
    assert {path.stem for path in FILES} == {f"planstream.{name}" for name in kinds}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_names(path: Path) -> None:
    """Every schema has planstream's namespace, its file's name, and words on itself."""
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert f"{schema['namespace']}.{schema['name']}" == path.stem
    assert schema["doc"]


def rabin(data: bytes) -> bytes:
    """CRC-64-AVRO, bit by bit, as the Avro specification defines it."""
    empty = 0xC15D213AA4D7A795
    fingerprint = empty
    for byte in data:
        fingerprint ^= byte
        for _ in range(8):
            fingerprint = (fingerprint >> 1) ^ (empty & -(fingerprint & 1))
    return fingerprint.to_bytes(8, "little")


@pytest.mark.parametrize("model", MODELS)
def test_header(model: type[Record]) -> None:
    """Records begin with C3 01 and the little-endian Rabin fingerprint."""
    canonical = to_parsing_canonical_form(schema_of(model))
    assert header_of(model) == b"\xc3\x01" + rabin(canonical.encode())


def test_fingerprints_differ() -> None:
    """No two models share a fingerprint, so it tells which a record is of."""
    assert len({header_of(model) for model in MODELS}) == len(MODELS)
