"""Opaque JSON: text that planstream carries from producer to handler unread (F12)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from schemas.decode_error import DecodeError
from schemas.json_scan import check_value, is_deeper, raw_members

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Opaque:
    """Marks a model field whose value is JSON text, embedded as is in JSON records."""

    objects_only: bool = False

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """In JSON a value stands as itself, not as text."""
        del core_schema, handler
        return {"type": "object"} if self.objects_only else {}


JsonText = Annotated[str, Opaque()]
"""Any JSON value, as text."""
JsonObject = Annotated[str, Opaque(objects_only=True)]
"""A JSON object, as text."""

MAX_DUMP_DEPTH = 160
"""How deep a value may nest that we write.

Below the 200 levels we read, because it is embedded later: a result in a PlanResult,
which is a result again when the plan was nested (R39: eight levels of two)."""

MAX_INT_DIGITS = 4300
"""What Python's `int` reads by default; `Decimal` converts longer ones, exactly."""

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode


def dump(value: Any) -> str:
    """Write a value as compact JSON text.

    Raises:
        TypeError: Something in it has no JSON form, or a key is not a string (R27).
        ValueError: It holds NaN, an infinity, a lone surrogate or itself, or nests
            deeper than `MAX_DUMP_DEPTH`.
    """
    try:
        text = _encode(value)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        if "integer string conversion" not in str(error):
            raise
        text = _write(value)
    _check_keys(value)
    if not text.isascii():
        text.encode()
    if is_deeper(text, MAX_DUMP_DEPTH):
        raise ValueError(_TOO_DEEP)
    return text


def load(text: str) -> Any:
    """Read JSON text into Python values; integers of any size survive (R27).

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return _decode(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:
        return _decode_unlimited(text)


def is_json(text: str) -> bool:
    """Whether text from elsewhere is JSON, by R37's rules, and may be embedded."""
    try:
        check_value(text)
    except DecodeError:
        return False
    return True


def merge(text: str, members: Mapping[str, Any]) -> str:
    """Set members of a JSON object; the others stay as they are written.

    Raises:
        ValueError: The text is no JSON object, or a member cannot be dumped.
    """
    raw = raw_members(text)
    raw.update((name, dump(value)) for name, value in members.items())
    return "{" + ",".join(f"{_encode(name)}:{raw[name]}" for name in raw) + "}"


_TOO_DEEP = "nested too deep for JSON"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _any_int(digits: str) -> int:
    return int(digits) if len(digits) <= MAX_INT_DIGITS else int(Decimal(digits))


_decode: Callable[[str], Any] = json.JSONDecoder(parse_constant=_refuse_constant).decode
_decode_unlimited: Callable[[str], Any] = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_any_int
).decode


def _check_keys(value: Any) -> None:
    # json writes the keys 1, None and True as strings: two keys may become one name.
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                raise TypeError("keys of a JSON object must be strings")
            todo.extend(item.values())
        elif isinstance(item, list | tuple):
            todo.extend(item)


def _write(value: Any) -> str:
    """Write a value that holds an integer too long for `json` (4300 digits)."""
    match value:
        case dict():
            return "{" + ",".join(map(_write_member, value.items())) + "}"
        case list() | tuple():
            return "[" + ",".join(map(_write, value)) + "]"
        case int() if not isinstance(value, bool):
            return f"{Decimal(value):f}"
        case _:
            return _encode(value)


def _write_member(member: tuple[str, Any]) -> str:
    return f"{_encode(member[0])}:{_write(member[1])}"
