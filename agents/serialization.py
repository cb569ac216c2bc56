"""JSON text of what handlers get, or return (R27)."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn

from pydantic import BaseModel

from schemas.opaque import MAX_DUMP_DEPTH

_BITS_A_DIGIT = math.log2(10)
_SCALARS = frozenset({str, bool, float, type(None)})


class Unencodable(Exception):
    """A value that is no JSON value."""


class TooLarge(Exception):
    """A value whose JSON text is over the limit."""


def load_json(text: str) -> Any:
    """The value of a JSON text; integers of any size (R27).

    Raises:
        ValueError: It is no JSON, or nested too deeply.
    """
    try:
        return _decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        if not _is_digit_limit(error):
            raise
    with _digits_unlimited():
        return _patient_decoder.decode(text)


def dump_json(value: Any, limit: int) -> str:
    """The compact JSON text of a value that a handler made.

    Tuples are lists, pydantic models and dataclasses are dumped.

    Raises:
        Unencodable: It is no JSON value: NaN, bytes, sets, keys that are no strings.
        TooLarge: Its text has more than `limit` bytes.
    """
    try:
        if isinstance(value, BaseModel):
            value = _plain(value)
        _check(value, limit, MAX_DUMP_DEPTH)
        text = _encode(value)
        size = len(text) if text.isascii() else len(text.encode())
    except TooLarge:
        raise
    except Exception as error:
        raise Unencodable(f"cannot be encoded as JSON: {error}") from error
    if size > limit:
        raise _too_large(f"{size} bytes of JSON", limit)
    return text


def _encode(value: Any) -> str:
    try:
        return _encoder.encode(value)
    except ValueError as error:
        if not _is_digit_limit(error):
            raise
    with _digits_unlimited():
        return _encoder.encode(value)


def _check(value: Any, limit: int, depth: int) -> None:
    """Refuses what the encoder would let pass, or would take for ever on."""
    kind = type(value)
    if kind in _SCALARS:
        return
    if isinstance(value, int):
        _check_digits(value, limit)
    elif isinstance(value, Mapping):
        _check_members(value, limit, depth)
    elif isinstance(value, list | tuple):
        _check_depth(depth)
        for item in value:
            if type(item) not in _SCALARS:
                _check(item, limit, depth - 1)
    elif not isinstance(value, str | float):
        _check_depth(depth)
        _check(_plain(value), limit, depth - 1)


def _check_members(value: Mapping[Any, Any], limit: int, depth: int) -> None:
    _check_depth(depth)
    for name, item in value.items():
        if not isinstance(name, str):
            raise TypeError(f"the key {name!r:.100} is no string")
        if type(item) not in _SCALARS:
            _check(item, limit, depth - 1)


def _check_depth(depth: int) -> None:
    if depth == 0:
        raise ValueError(f"nested deeper than {MAX_DUMP_DEPTH}")


def _check_digits(value: int, limit: int) -> None:
    if value.bit_length() > (limit + 1) * _BITS_A_DIGIT:
        raise _too_large("an integer alone", limit)


def _plain(value: Any) -> Any:
    """What stands in JSON for an object that is no JSON value itself."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _too_large(what: str, limit: int) -> TooLarge:
    return TooLarge(f"is too large: {what}, over the limit of {limit}")


def _is_digit_limit(error: ValueError) -> bool:
    return "integer string conversion" in str(error)


@contextmanager
def _digits_unlimited() -> Iterator[None]:
    """Lifts Python's limit of 4,300 digits; sizes are limited where they come in."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(before)


def _integer(digits: str) -> int:
    """Int of very many digits, by halves: `int` alone takes seconds for a megabyte."""
    if len(digits) < 5000:  # noqa: PLR2004 (below this int itself is as fast)
        return int(digits)
    if digits.startswith("-"):
        return -_integer(digits[1:])
    low = len(digits) // 2
    high: int = _integer(digits[:-low])
    shift: int = 10**low
    return high * shift + _integer(digits[-low:])


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


_encoder = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    check_circular=False,  # _check has found the end of it
    separators=(",", ":"),
    default=_plain,
)
_decoder = json.JSONDecoder(parse_constant=_no_constant)
_patient_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_int=_integer)
