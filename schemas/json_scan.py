"""Reads JSON text strictly (R37), and tells where in it a value begins and ends.

The work is done by the C scanner of `json`. What that scanner lets pass is refused here
before (lone surrogates, depth) or by its hooks (duplicate names, NaN). Its recursion
never sees more than `MAX_DEPTH` levels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from itertools import accumulate
from json import JSONDecodeError
from typing import Any, NoReturn

from schemas.decode_error import DecodeError, malformed, too_deep
from schemas.json_tokens import first_fault

MAX_DEPTH = 200
"""How deep JSON may nest (R37)."""

Reader = Callable[[str, int], tuple[Any, int]]
"""Takes text and where a value begins; returns the value and where it ends."""

_MAX_DIGITS = 40
"""No field takes a longer int; as a float it is refused as well, and costs nothing
(`int` of many digits is slow, and raises past 4300)."""
_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile(
    r"""\\(?: u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2}   # a pair
        | (?P<lone> u[dD][89a-fA-F] )
        | . )""",
    re.VERBOSE | re.DOTALL,
)
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'"[]{}')
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")

_SPACE = re.compile(r"[ \t\n\r]*+")
_FIRST_NAME = re.compile(r'\{[ \t\n\r]*+"([^"\\\x00-\x1f]*+)"[ \t\n\r]*+:[ \t\n\r]*+')
_NEXT_NAME = re.compile(
    r'[ \t\n\r]*+,[ \t\n\r]*+"([^"\\\x00-\x1f]*+)"[ \t\n\r]*+:[ \t\n\r]*+'
)
_OBJECT_END = re.compile(r"[ \t\n\r]*+\}")
_EMPTY_OBJECT = re.compile(r"\{[ \t\n\r]*+\}")
_EMPTY_ARRAY = re.compile(r"\[[ \t\n\r]*+\]")
_BEFORE_NAME = re.compile(r"[ \t\n\r]*+[{,][ \t\n\r]*+")
_COLON = re.compile(r"[ \t\n\r]*+:[ \t\n\r]*+")
_AFTER_ITEM = re.compile(r"[ \t\n\r]*+(,[ \t\n\r]*+|\])")


class _Unlocated(ValueError):
    """A fault that a hook of the C scanner found: it knows no position."""


def text_of(data: bytes) -> str:
    """Take a record's bytes as JSON text.

    Raises:
        DecodeError: It has a BOM, is no UTF-8, holds a lone surrogate, or nests deeper
            than `MAX_DEPTH`.
    """
    if data.startswith(_BOM):
        raise malformed("a byte order mark before the JSON text", 0)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise malformed("is not UTF-8", error.start) from None
    check_text(text)
    return text


def check_text(text: str) -> None:
    """Refuse what the C scanner would let pass, or would drown in.

    Raises:
        DecodeError: The text holds a lone surrogate, or nests too deep.
    """
    if is_deeper(text, MAX_DEPTH):
        raise too_deep(f"JSON nested deeper than {MAX_DEPTH} levels")
    if "\\ud" not in text and "\\uD" not in text:
        return
    for match in _SURROGATE.finditer(text):
        if match["lone"]:
            raise malformed("a lone surrogate", byte_position(text, match.start()))


def is_deeper(text: str, limit: int) -> bool:
    """Whether JSON text nests deeper than the limit; right for its readable part."""
    if text.count("[") + text.count("{") <= limit:
        return False
    data = text.encode(errors="surrogatepass")
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = unescaped.translate(_STEPS, _NOT_STRUCTURE).split(b'"')[::2]
    steps = memoryview(b"".join(outside_strings)).cast("b")
    return max(accumulate(steps), default=0) > limit


def byte_position(text: str, index: int) -> int:
    """Where a character of the text begins in its UTF-8 bytes."""
    return len(text[:index].encode(errors="surrogatepass"))


def read_whole(text: str, read: Reader) -> Any:
    """Read text that is one JSON value and, round it, white space.

    Raises:
        DecodeError: It is not; with the position of the first fault.
    """
    try:
        value, end = read(text, skip_space(text, 0))
        _check_end(text, skip_space(text, end))
    except JSONDecodeError as error:
        raise malformed(error.msg, byte_position(text, error.pos)) from None
    except _Unlocated as error:
        raise _located(text, error) from None
    except RecursionError:
        raise too_deep("JSON nested deeper than the stack allows") from None
    return value


def _check_end(text: str, index: int) -> None:
    if index != len(text):
        raise JSONDecodeError("Extra data", text, index)


def skip_space(text: str, index: int) -> int:
    """The first place from here that holds no white space."""
    match = _SPACE.match(text, index)
    return match.end() if match else index


def raw_members(text: str) -> dict[str, str]:
    """Split a JSON object into its members' names and the texts of their values.

    Raises:
        DecodeError: The text is no JSON object.
    """
    check_text(text)
    members = read_whole(text, object_reader({}, raw))
    if not isinstance(members, dict):
        raise malformed("is no JSON object", 0)
    return members


def check_value(text: str) -> None:
    """Refuse text that is no JSON value.

    Raises:
        DecodeError: With a detail that shows nothing of the value.
    """
    if not is_plainly_json(text):
        check_text(text)
        read_whole(text, _skip)


def is_plainly_json(text: str) -> bool:
    """Whether text is JSON; cheap, and says no when it would have to look closer."""
    if "\\u" in text or text.count("[") + text.count("{") > MAX_DEPTH:
        return False
    try:
        return _skip(text, 0)[1] == len(text)
    except (ValueError, RecursionError):
        return False


def is_plain_object(text: str) -> bool:
    """Whether text is a JSON object; says no when it would have to look closer."""
    return text.startswith("{") and is_plainly_json(text)


def is_object(text: str) -> bool:
    """Whether text that is a JSON value is an object."""
    return text.startswith("{", skip_space(text, 0))


def raw(text: str, index: int) -> tuple[str, int]:
    """Read any value as the text it is written in, looking only for its end."""
    end = _skip(text, index)[1]
    return text[index:end], end


def object_reader(readers: Mapping[str, Reader], other: Reader) -> Reader:
    """Make a reader of objects that reads each member with the reader of its name."""

    def read(text: str, index: int) -> tuple[Any, int]:
        if not text.startswith("{", index):
            return scan(text, index)
        if empty := _EMPTY_OBJECT.match(text, index):
            return {}, empty.end()
        members: dict[str, Any] = {}
        find = _FIRST_NAME.match
        while True:
            match = find(text, index)
            name, index = (
                (match[1], match.end()) if match else _unusual_name(text, index)
            )
            value, index = readers.get(name, other)(text, index)
            if name in members:
                raise _Unlocated(_DUPLICATE)
            members[name] = value
            if end := _OBJECT_END.match(text, index):
                return members, end.end()
            find = _NEXT_NAME.match

    return read


def array_reader(read_item: Reader) -> Reader:
    """Make a reader of arrays out of a reader of their items."""

    def read(text: str, index: int) -> tuple[Any, int]:
        if not text.startswith("[", index):
            return scan(text, index)
        if empty := _EMPTY_ARRAY.match(text, index):
            return [], empty.end()
        items = []
        index = skip_space(text, index + 1)
        while True:
            item, index = read_item(text, index)
            items.append(item)
            match = _AFTER_ITEM.match(text, index)
            if not match:
                raise JSONDecodeError("Expecting ',' delimiter", text, index)
            index = match.end()
            if match[1] == "]":
                return items, index

    return read


_DUPLICATE = "a duplicate member name"


def _unusual_name(text: str, index: int) -> tuple[str, int]:
    """Read a member's name that has escapes in it, or say what stands there instead."""
    before = _BEFORE_NAME.match(text, index)
    if not before:
        raise JSONDecodeError("Expecting ',' delimiter", text, index)
    if not text.startswith('"', before.end()):
        raise JSONDecodeError("Expecting a member name", text, before.end())
    name, end = scan(text, before.end())
    colon = _COLON.match(text, end)
    if not colon:
        raise JSONDecodeError("Expecting ':' delimiter", text, end)
    return name, colon.end()


def _located(text: str, error: _Unlocated) -> DecodeError:
    fault = first_fault(text)
    if fault is None:
        return malformed(str(error))
    return malformed(fault[0], byte_position(text, fault[1]))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Unlocated(_DUPLICATE)
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise _Unlocated(f"{name} is no JSON value")


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


scan: Reader = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_int
).raw_decode
"""Read any value into Python values."""

# The values are dropped: len is the cheapest "conversion" of a number there is.
_skip: Reader = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_int=len,
    parse_float=len,
).raw_decode
