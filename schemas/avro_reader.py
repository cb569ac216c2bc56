"""Reads Avro's binary encoding, of unknown origin, by functions made from a schema.

Source is generated for each record type, once: reading a record is then one straight
run without a look at the schema. Time and memory stay proportional to the data, since
no schema of ours has list items that take no bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import error as struct_error
from typing import Any, Final

from schemas.avro_source import Made, Source, indented
from schemas.avro_values import DOUBLE, MANY
from schemas.decode_error import malformed, too_deep
from schemas.record import MAX_NESTING

Reader = Callable[[bytes, int], tuple[Any, int]]
"""Takes the data and where a value begins; returns the value, and where it ends."""


def reader_of(schema: dict[str, Any]) -> Reader:
    """Make the function that reads whole records of a parsed schema.

    It raises `DecodeError` for data that do not follow the schema.

    Raises:
        TypeError: The schema has a type that none of ours has.
    """
    read = reader_source(schema).function()

    def read_record(data: bytes, index: int) -> tuple[Any, int]:
        try:
            result: tuple[Any, int] = read(data, index, 0)
        except (IndexError, struct_error):
            raise malformed("the record ends too early", len(data)) from None
        except RecursionError:
            raise too_deep("nested deeper than the stack allows") from None
        return result

    return read_record


def reader_source(schema: dict[str, Any]) -> Made:
    """The source of the function that `reader_of` calls.

    Raises:
        TypeError: The schema has a type that none of ours has.
    """
    return _Reading(schema).make()


_RESULT = "tuple[dict[str, object], int]"


class _Reading(Source):
    """Functions `read(data, i, level)`, which return a record's fields, and its end."""

    verb = "read"

    def function(self, name: str, record: dict[str, Any]) -> Iterator[str]:
        """The function of a record type."""
        fields = [(field["name"], self.variable()) for field in record["fields"]]
        yield f"def {name}(data: bytes, i: int, level: int) -> {_RESULT}:"
        yield f"    if level == {MAX_NESTING}:"
        yield "        raise nested_too_deep()"
        yield "    end = 0"
        yield "    try:"
        for field, (_, variable) in zip(record["fields"], fields, strict=True):
            yield from indented(indented(self.value(field["type"], variable)))
        yield "    except UnicodeDecodeError as error:"
        yield "        raise no_text(data, end, i + error.start) from None"
        members = ", ".join(f"{field!r}: {variable}" for field, variable in fields)
        yield f"    return {{{members}}}, i"

    def primitive(self, kind: str, place: str) -> Iterator[str]:
        """Statements that set the variable `place`."""
        yield from _PRIMITIVES[kind](place)

    def record(self, function: str, place: str) -> Iterator[str]:
        """Statements that read a record into the variable `place`."""
        yield f"{place}, i = {function}(data, i, level + 1)"

    def enum(self, schema: dict[str, Any], place: str) -> Iterator[str]:
        """Statements that read a symbol into the variable `place`."""
        symbols = list(schema["symbols"])
        table = self.constant(symbols)
        yield "n = data[i]"
        yield f"if n & 0x81 or n >> 1 >= {len(symbols)}:"
        yield f"    raise no_symbol({schema['name']!r}, i)"
        yield f"{place} = {table}[n >> 1]"
        yield "i += 1"

    def nullable(self, schema: Any, place: str) -> Iterator[str]:
        """Statements that read null, or what else there may be."""
        yield "n = data[i]"
        yield "if n == 0:"
        yield f"    {place} = None"
        yield "    i += 1"
        yield "elif n == 2:"  # branch 1, in zigzag
        yield "    i += 1"
        yield from indented(self.value(schema, place))
        yield "else:"
        yield "    raise no_branch(i)"

    def array(self, items: Any, place: str) -> Iterator[str]:
        """Statements that read a list, block by block."""
        item = self.variable()
        yield f"{place} = []"
        yield from self._blocks([*self.value(items, item), f"{place}.append({item})"])

    def map(self, values: Any, place: str) -> Iterator[str]:
        """Statements that read a dict, block by block."""
        key, item = self.variable(), self.variable()
        lines = [
            "begin = i",
            f"{key}, i = read_string(data, i)",
            f"if {key} in {place}:",
            "    raise twice(begin)",
            *self.value(values, item),
            f"{place}[{key}] = {item}",
        ]
        yield f"{place} = {{}}"
        yield from self._blocks(lines)

    def _blocks(self, lines: list[str]) -> Iterator[str]:
        count = self.variable()
        yield f"{count} = data[i]"
        yield f"if {count} == 0:"  # an empty list: one byte
        yield "    i += 1"
        yield "else:"
        yield f"    {count}, i = read_block(data, i)"
        yield f"    while {count}:"
        yield f"        for _ in range({count}):"
        yield from indented(indented(indented(lines)))
        yield f"        {count}, i = read_block(data, i)"


def _long(name: str) -> Iterator[str]:
    yield "n = data[i]"
    yield f"if n < {MANY}:"
    yield f"    {name} = (n >> 1) ^ -(n & 1)"
    yield "    i += 1"
    yield "else:"
    yield f"    {name}, i = read_long(data, i)"


def _bytes(name: str) -> Iterator[str]:
    yield "n = data[i]"
    yield "if n & 0x81:"  # long, or negative
    yield "    n, i = read_size(data, i)"
    yield "else:"
    yield "    n >>= 1"
    yield "    i += 1"
    yield "end = i + n"
    yield f"{name} = data[i:end]"
    yield "i = end"


def _string(name: str) -> Iterator[str]:
    *lines, take, move = _bytes(name)
    yield from lines
    yield f"{take}.decode()"
    yield move


def _boolean(name: str) -> Iterator[str]:
    yield "if data[i] > 1:"
    yield "    raise no_boolean(i)"
    yield f"{name} = data[i] == 1"
    yield "i += 1"


def _double(name: str) -> Iterator[str]:
    yield f"({name},) = unpack_double(data, i)"
    yield f"i += {DOUBLE.size}"


_PRIMITIVES: Final[dict[str, Callable[[str], Iterator[str]]]] = {
    "string": _string,
    "long": _long,
    "bytes": _bytes,
    "boolean": _boolean,
    "double": _double,
}
