"""How a handler's payload annotation reads a payload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, get_origin

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from agents.failures import Failure, StepUnfit, printable
from agents.serialization import load_json
from schemas.errors import ErrorCode

Reader = Callable[[str], Any]
"""From JSON text to a handler's argument; raises `StepUnfit` when it does not fit."""

_OBJECTS = frozenset({dict, Mapping, MutableMapping, Any, object})
_NEVER = (str, bytes, int, float, bool, list, tuple, set, frozenset, type(None))
_LISTED = 10
"""Mismatches listed in a message or a context: the first ones say it all."""


def reader_of(annotation: Any) -> Reader:
    """The reader for an annotation: `dict`, a pydantic model, a dataclass.

    Raises:
        TypeError: Nothing that is a JSON object can fit it.
    """
    if annotation in _OBJECTS or annotation == dict[str, Any]:
        return read_object
    origin = get_origin(annotation) or annotation
    if isinstance(origin, type) and issubclass(origin, _NEVER):
        raise TypeError(f"a payload is a JSON object, never {annotation!r}")
    try:
        adapter = TypeAdapter[Any](annotation)
    except PydanticUserError as error:
        raise TypeError(str(error).partition("\n")[0]) from None
    return lambda text: _validated(adapter, text)


def read_object(text: str) -> dict[str, Any]:
    """The payload as a plain dict."""
    try:
        value = load_json(text)
    except ValueError as error:
        raise _misfit(f"the payload is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise _misfit(f"the payload is no JSON object but {type(value).__name__}")
    return value


def _validated(adapter: TypeAdapter[Any], text: str) -> Any:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise _mismatch(error) from None


def _mismatch(error: ValidationError) -> StepUnfit:
    """Every place that does not fit, never the value there (F12)."""
    details = error.errors(
        include_url=False, include_context=False, include_input=False
    )
    places = [
        {"path": _path(each["loc"]), "message": printable(each["msg"])}
        for each in details[:_LISTED]
    ]
    said = "; ".join(f"{place['path']}: {place['message']}" for place in places)
    return _misfit(f"the payload does not fit: {said}", violations=places)


def _path(location: tuple[int | str, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return printable("payload" + "".join(parts))


def _misfit(message: str, **context: Any) -> StepUnfit:
    failure = Failure.fatal(ErrorCode.INVALID_PAYLOAD, printable(message), **context)
    return StepUnfit(failure)
