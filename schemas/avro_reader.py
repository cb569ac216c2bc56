"""Reads Avro's binary encoding, of unknown origin, by functions made from a schema.

Source is generated for each record type, once: reading a record is then one straight
run without a look at the schema. Reading past the end shows there: either an index is
out of range, or the last value ends behind the data. Time and memory stay proportional
to the data, since no schema of ours has list items that take no bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from struct import error as struct_error
from typing import Any, Final

from schemas.avro_source import Source, indented
from schemas.decode_error import DecodeError, malformed, too_deep
from schemas.record import MAX_NESTING

Reader = Callable[[bytes, int], tuple[Any, int]]
"""Takes the data and where a value begins; returns the value, and where it ends."""

_DOUBLE = Struct("<d")
_LONG_BITS = 64
_MANY = 0x80
"""Set in every byte of a number but the last."""


def reader_of(schema: dict[str, Any]) -> Reader:
    """Make the function that reads whole records of a parsed schema.

    It raises `DecodeError` for data that do not follow the schema.

    Raises:
        TypeError: The schema has a type that none of ours has.
    """
    read = _Reading().compiled(schema, _SCOPE)

    def read_record(data: bytes, index: int) -> tuple[Any, int]:
        try:
            result: tuple[Any, int] = read(data, index, 0)
        except (IndexError, struct_error):
            raise malformed("the record ends too early", len(data)) from None
        except RecursionError:
            raise too_deep("nested deeper than the stack allows") from None
        return result

    return read_record


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
    size, index = read_size(data, index)
    end = index + size
    try:
        return data[index:end].decode(), end
    except UnicodeDecodeError as error:
        raise no_text(data, end, index + error.start) from None


def read_size(data: bytes, index: int) -> tuple[int, int]:
    """Read how many bytes follow."""
    size, end = read_long(data, index)
    if size < 0:
        raise malformed("a negative length", index)
    if size > len(data):
        raise malformed("the record ends too early", len(data))
    return size, end


def read_block(data: bytes, index: int) -> tuple[int, int]:
    """Read how many items follow; a negative count comes with a size in bytes."""
    count, index = read_long(data, index)
    if count < 0:
        count = -count
        _, index = read_long(data, index)
    return count, index


def no_text(data: bytes, end: int, position: int) -> DecodeError:
    """The error of a string that cannot be decoded, or is cut off in a character."""
    if end > len(data):
        return malformed("the record ends too early", len(data))
    return malformed("a string that is not UTF-8", position)


def no_branch(index: int) -> DecodeError:
    """The error of a nullable value that is neither there nor absent."""
    return malformed("a union's branch that its schema does not have", index)


def no_boolean(index: int) -> DecodeError:
    """The error of another byte than 0 or 1."""
    return malformed("a boolean that is neither 0 nor 1", index)


def no_symbol(name: str, index: int) -> DecodeError:
    """The error of a number that an enum does not go up to."""
    return malformed(f"a symbol that {name} does not have", index)


def twice(index: int) -> DecodeError:
    """The error of a map that names something twice."""
    return malformed("a duplicate name in a map", index)


def nested_too_deep() -> DecodeError:
    """The error of records one in another without an end."""
    return too_deep(f"more than {MAX_NESTING} records one in another")


_SCOPE: Final[dict[str, Any]] = {
    "unpack_double": _DOUBLE.unpack_from,
    **{
        function.__name__: function
        for function in (
            *(read_long, read_string, read_size, read_block),
            *(no_text, no_branch, no_boolean, no_symbol, twice, nested_too_deep),
        )
    },
}
"""What the generated functions call."""


class _Reading(Source):
    """Functions `read(data, i, level)`, which return a record's fields, and its end."""

    verb = "read"

    def function(self, name: str, record: dict[str, Any]) -> Iterator[str]:
        """The function of a record type."""
        fields = [(field["name"], self.variable()) for field in record["fields"]]
        yield f"def {name}(data, i, level):"
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
        symbols = tuple(schema["symbols"])
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
        yield f"{place} = []"
        yield from self._blocks([*self._item(items), f"{place}.append(item)"])

    def map(self, values: Any, place: str) -> Iterator[str]:
        """Statements that read a dict, block by block."""
        key = self.variable()
        lines = [
            "begin = i",
            f"{key}, i = read_string(data, i)",
            f"if {key} in {place}:",
            "    raise twice(begin)",
            *self._item(values),
            f"{place}[{key}] = item",
        ]
        yield f"{place} = {{}}"
        yield from self._blocks(lines)

    def _item(self, schema: Any) -> Iterator[str]:
        variable = self.variable()
        yield from self.value(schema, variable)
        yield f"item = {variable}"

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
    yield f"if n < {_MANY}:"
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
    yield f"i += {_DOUBLE.size}"


_PRIMITIVES: Final[dict[str, Callable[[str], Iterator[str]]]] = {
    "string": _string,
    "long": _long,
    "bytes": _bytes,
    "boolean": _boolean,
    "double": _double,
}
