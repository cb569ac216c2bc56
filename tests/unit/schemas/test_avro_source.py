"""Functions made from Avro schemas: what they refuse."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from schemas.avro_reader import reader_of
from schemas.avro_writer import writer_of
from schemas.decode_error import DecodeError


def record(kind: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]}


def written(kind: Any, value: Any) -> bytes:
    pieces: list[bytes] = []
    writer_of(record(kind))({"a": value}, pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("kind", ["float", ["string", "null"], {"type": "fixed"}])
def test_types_that_no_schema_of_ours_has(kind: Any) -> None:
    """They are refused when the functions are made, not when a record comes."""
    with pytest.raises(TypeError, match="no code for the Avro schema"):
        writer_of(record(kind))
    with pytest.raises(TypeError, match="no code for the Avro schema"):
        reader_of(record(kind))


def test_records_of_one_name_in_two_namespaces() -> None:
    """One of the functions would hide the other."""
    inner = {"type": "record", "name": "b.X", "fields": []}
    other = {**inner, "name": "c.X"}
    schema = record("long")
    schema["fields"] = [{"name": "x", "type": inner}, {"name": "y", "type": other}]
    with pytest.raises(TypeError, match="two records would be write_R_X"):
        writer_of(schema)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_numbers_longer_than_64_bits_are_not_written(number: int) -> None:
    """An Avro long has no room for them."""
    with pytest.raises(OverflowError, match="longer than 64 bits"):
        written("long", number)


@pytest.mark.parametrize("number", [0, -1, 63, 64, 4095, 4096, 2**63 - 1, -(2**63)])
def test_numbers_come_back(number: int) -> None:
    """Small ones, which are looked up, and others."""
    data = written("long", number)

    assert reader_of(record("long"))(data, 0) == ({"a": number}, len(data))


@pytest.mark.parametrize(
    ("kind", "value", "error"),
    [
        ("long", "3", TypeError),
        ("long", None, TypeError),
        ("string", 3, AttributeError),
        ("bytes", None, TypeError),
        ("double", "x", struct.error),
    ],
)
def test_values_of_another_type_are_not_written(
    kind: str, value: Any, error: type[Exception]
) -> None:
    """Something is raised: no other value is written in their place."""
    with pytest.raises(error):
        written(kind, value)


def test_a_missing_field_is_not_written() -> None:
    """Not even as its default: whoever encodes gives all fields."""
    with pytest.raises(KeyError, match="a"):
        writer_of(record("long"))({}, [])


def test_lists_in_maps_in_lists() -> None:
    """Collections may lie in one another."""
    kind = {"type": "array", "items": {"type": "map", "values": inner()}}
    value = [{"x": [1, 2], "y": []}, {}, {"z": [3]}]
    data = written(kind, value)

    assert reader_of(record(kind))(data, 0) == ({"a": value}, len(data))


def inner() -> dict[str, Any]:
    return {"type": "array", "items": "long"}


@pytest.mark.parametrize("size", [5, 2**31, 2**62, 2**63 - 1])
@pytest.mark.parametrize("kind", ["string", "bytes"])
def test_a_string_longer_than_its_record_is_malformed(kind: str, size: int) -> None:
    """R37: the last one of a list, after which the rest of the list is looked for."""
    schema = record({"type": "array", "items": kind})
    data = b"\x02" + zigzag(size) + b"abc\0"
    with pytest.raises(DecodeError, match="ends too early"):
        reader_of(schema)(data, 0)


def zigzag(number: int) -> bytes:
    """A long that is not negative, as Avro writes it."""
    number *= 2
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
