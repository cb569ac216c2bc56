"""Records as JSON: opaque values are cut out of the text, and set into it, unread."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from schemas.decode_error import malformed, too_deep
from schemas.json_scan import (
    Reader,
    array_reader,
    object_reader,
    raw,
    read_whole,
    scan,
    text_of,
)
from schemas.record import MAX_NESTING, Record
from schemas.shapes import ItemsOf, Leaf, MapOf, Shape, shapes

R = TypeVar("R", bound=Record)

Writer = Callable[[Any], str]

KIND = "type"
_KIND_FIRST = re.compile(
    r'[ \t\n\r]*+\{[ \t\n\r]*+"type"[ \t\n\r]*+:[ \t\n\r]*+"(\w++)"'
)


def write(model: type[Record], fields: Mapping[str, Any] | Record) -> str:
    """Write a record; its nested records may be field dicts or models."""
    return _record_writer(model)(fields)


def read(data: bytes, models: tuple[type[R], ...]) -> tuple[type[R], dict[str, Any]]:
    """Read a record of one of the models; its values are not validated.

    Raises:
        DecodeError: The bytes are no JSON object, or not of these models.
    """
    text = text_of(data)
    model = _model_of(text, models)
    fields = read_whole(text, _reader_of(model))
    if not isinstance(fields, dict):
        raise malformed("a record must be a JSON object", 0)
    if model.shares_topic:
        fields.pop(KIND, None)
    return model, fields


def _model_of(text: str, models: tuple[type[R], ...]) -> type[R]:
    if len(models) == 1 and not models[0].shares_topic:
        return models[0]
    name = _kind_of(text)
    for model in models:
        if model.__name__ == name:
            return model
    wanted = ", ".join(model.__name__ for model in models)
    raise malformed(f'member "type" must be one of {wanted}')


def _kind_of(text: str) -> Any:
    if match := _KIND_FIRST.match(text):
        return match[1]
    fields = read_whole(text, scan)
    return fields.get(KIND) if isinstance(fields, dict) else None


@cache
def _reader_of(model: type[Record]) -> Reader:
    return _record_reader(model, 0)


def _record_reader(model: type[Record], level: int) -> Reader:
    if level == MAX_NESTING:
        return _refuse_depth
    fields = shapes(model)
    if all(shape is Leaf.PLAIN for shape in fields.values()):
        return scan
    members = {name: _reader(shape, level + 1) for name, shape in fields.items()}
    return object_reader(members, scan)


def _refuse_depth(text: str, index: int) -> tuple[Any, int]:
    if text.startswith("{", index):
        raise too_deep(f"more than {MAX_NESTING} records one in another")
    return scan(text, index)


def _raw_or_null(text: str, index: int) -> tuple[str | None, int]:
    value, end = raw(text, index)
    return (None if value == "null" else value), end


def _reader(shape: Shape, level: int) -> Reader:
    match shape:
        case Leaf.PLAIN:
            return scan
        case Leaf.OPAQUE:
            return raw
        case Leaf.OPAQUE_OR_NULL:
            return _raw_or_null
        case ItemsOf(item):
            return array_reader(_reader(item, level))
        case MapOf(value):
            return object_reader({}, _reader(value, level))
    return _record_reader(shape, level)


@cache
def _record_writer(model: type[Record]) -> Writer:
    start = f'{{"{KIND}":"{model.__name__}",' if model.shares_topic else "{"
    members = [
        (f'"{name}":', name, _writer(shape)) for name, shape in shapes(model).items()
    ]

    def write_record(record: Mapping[str, Any] | Record) -> str:
        fields = vars(record) if isinstance(record, Record) else record
        texts = [label + write(fields[name]) for label, name, write in members]
        return start + ",".join(texts) + "}"

    return write_record


_write_plain: Writer = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode


def _writer(shape: Shape) -> Writer:
    write_value = _value_writer(shape)

    def write_or_null(value: Any) -> str:
        return "null" if value is None else write_value(value)

    return write_or_null


def _value_writer(shape: Shape) -> Writer:
    match shape:
        case Leaf.PLAIN:
            return _write_plain
        case Leaf.OPAQUE | Leaf.OPAQUE_OR_NULL:
            return str
        case ItemsOf(item):
            return _items_writer(_writer(item))
        case MapOf(value):
            return _map_writer(_writer(value))
    return _late_writer(shape)


def _late_writer(model: type[Record]) -> Writer:
    # Looked up as late as it is wanted: ExecutionError has itself as a member.
    def write_record(value: Any) -> str:
        return _record_writer(model)(value)

    return write_record


def _items_writer(write_item: Writer) -> Writer:
    return lambda items: "[" + ",".join(map(write_item, items)) + "]"


def _map_writer(write_value: Writer) -> Writer:
    return lambda values: (
        "{"
        + ",".join(
            f"{_write_plain(name)}:{write_value(value)}"
            for name, value in values.items()
        )
        + "}"
    )
