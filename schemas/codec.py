"""Turns records into bytes and back, in Avro or JSON.

How a value begins tells its format: `C3 01` is Avro's single-object encoding, `00` the
wire format of a schema registry (which none is configured for), all else JSON.

Two levels: `encode` and `decode` deal in validated models, `encode_fields` and
`decode_fields` in dicts of a model's fields, which are what busy agents use. In both an
opaque value is JSON text (`schemas.opaque`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import ValidationError

from schemas import avro_format, json_format
from schemas.avro_format import schema_of
from schemas.avro_releases import ROW_VERSION
from schemas.decode_error import DecodeError, DecodeReason, malformed
from schemas.json_tokens import indented
from schemas.record import Record

__all__ = [
    "DecodeError",
    "DecodeReason",
    "Format",
    "decode",
    "decode_fields",
    "decode_row",
    "encode",
    "encode_fields",
    "encode_row",
    "is_avro",
    "schema_of",
    "to_json",
]

R = TypeVar("R", bound=Record)

_CONFLUENT_MAGIC = 0
_ROW_VERSION = bytes([ROW_VERSION])
"""Begins every table row, so that a later layout can tell the rows of this one."""


class Format(StrEnum):
    """How records are written."""

    AVRO = "avro"
    JSON = "json"


def encode(record: Record, fmt: Format = Format.AVRO) -> bytes:
    """Write a record."""
    return encode_fields(type(record), vars(record), fmt)


def encode_fields(
    model: type[Record], fields: Mapping[str, Any], fmt: Format = Format.AVRO
) -> bytes:
    """Write a record from trusted values of all its fields, without validating them.

    Args:
        model: Whose fields they are.
        fields: Enums as their values or members, nested records as dicts or models.
        fmt: How to write.
    """
    if fmt is Format.AVRO:
        return avro_format.encode(model, fields)
    return json_format.write(model, fields).encode()


def decode(data: bytes | None, *models: type[R]) -> R:
    """Read a record of one of the models, validated.

    Raises:
        DecodeError: The bytes are no valid record of these models.
    """
    model, fields = _read(data, models)
    return _validated(model, fields)


def decode_fields(
    data: bytes | None, *models: type[R]
) -> tuple[type[R], dict[str, Any]]:
    """Read the fields of a record of one of the models.

    All fields are there, with values of their types; lengths, ranges and patterns are
    not looked at. The exception are models that are judged apart (`PlanSubmission`): in
    JSON their members are what the sender wrote, whatever that is, without defaults.

    Raises:
        DecodeError: The bytes are no record of these models.
    """
    model, fields = _read(data, models)
    if data and not is_avro(data) and not model.judged_apart:
        fields = _validated(model, fields).model_dump()
    return model, fields


def encode_row(model: type[Record], fields: Mapping[str, Any]) -> bytes:
    """Write a table row from trusted values of all its fields."""
    return avro_format.encode_body(model, fields, _ROW_VERSION)


def decode_row(model: type[Record], data: bytes) -> dict[str, Any]:
    """Read the fields of a table row.

    Raises:
        DecodeError: The bytes are no row of this model.
    """
    if not data.startswith(_ROW_VERSION):
        version = data[0] if data else 0
        return avro_format.decode_earlier_body(model, data, 1, version)
    return avro_format.decode_body(model, data, len(_ROW_VERSION))


def to_json(record: Record, *, pretty: bool = False) -> str:
    """Write a record as JSON text; pretty, for people, it is laid out over lines."""
    text = json_format.write(type(record), record)
    return indented(text) if pretty else text


def _read(
    data: bytes | None, models: tuple[type[R], ...]
) -> tuple[type[R], dict[str, Any]]:
    if not data:
        raise malformed("a tombstone" if data is None else "an empty value")
    if is_avro(data):
        return avro_format.decode(data, models)
    if data[0] == _CONFLUENT_MAGIC:
        raise malformed("schema registry framing, but none is configured", 0)
    return json_format.read(data, models)


def is_avro(data: bytes) -> bool:
    """Whether a value is, or begins like, an Avro record."""
    return data.startswith(avro_format.MAGIC)


def _validated(model: type[R], fields: dict[str, Any]) -> R:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise malformed(f"{model.__name__}.{path}: {first['msg']}"[:200]) from None
