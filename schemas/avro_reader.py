"""Reads Avro's binary encoding, of unknown origin, by functions made from a schema.

Every function takes the data and where a value begins, and returns the value and where
it ends. Reading past the end shows there: either an index is out of range, or the last
value ends behind the data. Time and memory stay proportional to the data, since no
schema of ours has list items that take no bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as struct_error
from typing import Any, NoReturn

from schemas.decode_error import DecodeError, malformed, too_deep
from schemas.record import MAX_NESTING

Reader = Callable[[bytes, int], tuple[Any, int]]

_Types = dict[str, Any]
"""The named types seen so far, by full name."""

_DOUBLE = Struct("<d")
_LONG_BITS = 64
_MANY = 0x80
"""Set in every byte of a number but the last."""


def reader_of(schema: dict[str, Any]) -> Reader:
    """Make the function that reads whole records of a parsed schema.

    It raises `DecodeError` for data that do not follow the schema.
    """
    read = _make(schema, {}, 0)

    def read_record(data: bytes, index: int) -> tuple[Any, int]:
        try:
            return read(data, index)
        except (IndexError, struct_error):
            raise malformed("the record ends too early", len(data)) from None
        except RecursionError:
            raise too_deep("nested deeper than the stack allows") from None

    return read_record


def _make(schema: Any, types: _Types, level: int) -> Reader:
    match schema:
        case str() if schema in _PRIMITIVES:
            return _PRIMITIVES[schema]
        case str():
            return _make(types[schema], types, level)
        case ["null", some]:
            return _nullable(_make(some, types, level))
        case {"type": "record", "name": name}:
            types[name] = schema
            return _record(schema, types, level)
        case {"type": "enum", "name": name, "symbols": symbols}:
            types[name] = schema
            return _enum(name, tuple(symbols))
        case {"type": "array", "items": items}:
            return _array(_make(items, types, level))
        case {"type": "map", "values": values}:
            return _map(_make(values, types, level))
    raise TypeError(f"no reader for the Avro schema {schema}")


def read_long(data: bytes, index: int) -> tuple[int, int]:
    """Read a whole number: seven bits a byte, the lowest first, zigzag."""
    byte = data[index]
    index += 1
    if byte < _MANY:
        return (byte >> 1) ^ -(byte & 1), index
    number = byte & 0x7F
    shift = 7
    while True:
        byte = data[index]
        index += 1
        number |= (byte & 0x7F) << shift
        if byte < _MANY:
            break
        shift += 7
        if shift >= _LONG_BITS:
            raise malformed("a number longer than 64 bits", index)
    if number >> _LONG_BITS:
        raise malformed("a number longer than 64 bits", index)
    return (number >> 1) ^ -(number & 1), index


def read_string(data: bytes, index: int) -> tuple[str, int]:
    """Read a string; one that is cut off ends behind the data."""
    size = data[index]
    if size & 0x81:
        size, index = _read_size(data, index)
    else:
        size >>= 1
        index += 1
    end = index + size
    try:
        return data[index:end].decode(), end
    except UnicodeDecodeError as error:
        raise _no_text(data, end, index + error.start) from None


def read_bytes(data: bytes, index: int) -> tuple[bytes, int]:
    """Read bytes; cut off, they end behind the data."""
    size, index = _read_size(data, index)
    return data[index : index + size], index + size


def _read_size(data: bytes, index: int) -> tuple[int, int]:
    size, end = read_long(data, index)
    if size < 0:
        raise malformed("a negative length", index)
    return size, end


def _no_text(data: bytes, end: int, position: int) -> DecodeError:
    if end > len(data):
        return malformed("the record ends too early", len(data))
    return malformed("a string that is not UTF-8", position)


def _read_boolean(data: bytes, index: int) -> tuple[bool, int]:
    byte = data[index]
    if byte > 1:
        raise malformed("a boolean that is neither 0 nor 1", index)
    return byte == 1, index + 1


def _read_double(data: bytes, index: int) -> tuple[float, int]:
    return _DOUBLE.unpack_from(data, index)[0], index + _DOUBLE.size


_PRIMITIVES: dict[str, Reader] = {
    "string": read_string,
    "long": read_long,
    "bytes": read_bytes,
    "boolean": _read_boolean,
    "double": _read_double,
}


def _nullable(read: Reader) -> Reader:
    def read_nullable(data: bytes, index: int) -> tuple[Any, int]:
        branch = data[index]
        if branch == 0:
            return None, index + 1
        if branch == 2:  # noqa: PLR2004 - branch 1, in zigzag
            return read(data, index + 1)
        raise malformed("a union's branch that its schema does not have", index)

    return read_nullable


def _enum(name: str, symbols: tuple[str, ...]) -> Reader:
    def read_enum(data: bytes, index: int) -> tuple[str, int]:
        number = data[index]
        if number & 0x81 or number >> 1 >= len(symbols):
            raise malformed(f"a symbol that {name} does not have", index)
        return symbols[number >> 1], index + 1

    return read_enum


def _record(schema: dict[str, Any], types: _Types, level: int) -> Reader:
    if level == MAX_NESTING:
        return _refuse_depth
    fields = [
        (field["name"], _make(field["type"], types, level + 1))
        for field in schema["fields"]
    ]

    def read_record(data: bytes, index: int) -> tuple[dict[str, Any], int]:
        record = {}
        for field, read in fields:
            record[field], index = read(data, index)
        return record, index

    return read_record


def _refuse_depth(_data: bytes, _index: int) -> NoReturn:
    raise too_deep(f"more than {MAX_NESTING} records one in another")


def _array(read: Reader) -> Reader:
    def read_array(data: bytes, index: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        while True:
            count, index = _read_block(data, index)
            if not count:
                return items, index
            for _ in range(count):
                item, index = read(data, index)
                items.append(item)

    return read_array


def _map(read: Reader) -> Reader:
    def read_map(data: bytes, index: int) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        while True:
            count, index = _read_block(data, index)
            if not count:
                return values, index
            for _ in range(count):
                name, end = read_string(data, index)
                if name in values:
                    raise malformed("a duplicate name in a map", index)
                values[name], index = read(data, end)

    return read_map


def _read_block(data: bytes, index: int) -> tuple[int, int]:
    """Read how many items follow; a negative count comes with a size in bytes."""
    count, index = read_long(data, index)
    if count < 0:
        count = -count
        _, index = read_long(data, index)
    return count, index
