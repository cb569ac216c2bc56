"""Values in Avro's binary encoding, one at a time: what generated functions use.

Reading past the end shows there: either an index is out of range, or the last value
ends behind the data.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Any, Final

from schemas.decode_error import DecodeError, malformed, too_deep
from schemas.record import MAX_NESTING

DOUBLE: Final = Struct("<d")
pack_double: Final = DOUBLE.pack
unpack_double: Final = DOUBLE.unpack_from

MANY: Final = 0x80
"""Set in every byte of a number but the last."""

_LONG_BITS: Final = 64
_MOST: Final = 2**63 - 1
_LEAST: Final = -(2**63)


def _encoded(number: int) -> bytes:
    """Zigzag, then seven bits a byte, the lowest first."""
    if not _LEAST <= number <= _MOST:
        raise OverflowError(f"{number} is longer than 64 bits")
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest >= MANY:
        out.append(rest & 0x7F | MANY)
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


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a record that is given as a dict or as a model."""
    return record if isinstance(record, dict) else vars(record)


def read_long(data: bytes, index: int) -> tuple[int, int]:
    """Read a whole number: seven bits a byte, the lowest first, zigzag."""
    byte = data[index]
    index += 1
    if byte < MANY:
        return (byte >> 1) ^ -(byte & 1), index
    number = byte & 0x7F
    shift = 7
    while True:
        byte = data[index]
        index += 1
        number |= (byte & 0x7F) << shift
        if byte < MANY:
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
