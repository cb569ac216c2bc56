"""Hypothesis strategies for records, made from the models' own annotations."""

from __future__ import annotations

import json
from enum import Enum
from inspect import isclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from hypothesis import strategies as st
from pydantic import StringConstraints
from pydantic.fields import FieldInfo

from schemas.errors import ExecutionError, Severity
from schemas.opaque import Opaque
from schemas.record import INT64_MAX, INT64_MIN, Record

CAUSES_DEEP = 3
"""How deep causes nest at most in samples."""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
uuids = st.uuids(version=4).map(str)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=5,
).filter(lambda value: "Infinity" not in json.dumps(value))


@st.composite
def json_texts(draw: st.DrawFn, values: st.SearchStrategy[Any] = json_values) -> str:
    """JSON texts of every style: spaced or compact, escaped or not."""
    indent = draw(st.none() | st.integers(0, 2))
    value = draw(values)
    return json.dumps(value, ensure_ascii=draw(st.booleans()), indent=indent)


json_objects = json_texts(st.dictionaries(texts, json_values, max_size=3))


def records(model: type[Record], depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Valid fields of a model, all of them, nested records as dicts."""
    fields = st.fixed_dictionaries(
        {name: _field(field, depth) for name, field in model.model_fields.items()}
    )
    return fields.map(_with_recoverable) if model is ExecutionError else fields


def _with_recoverable(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "recoverable": fields["severity"] != Severity.FATAL}


def _field(field: FieldInfo, depth: int) -> st.SearchStrategy[Any]:
    return _values(field.annotation, tuple(field.metadata), depth)


def _values(
    annotation: Any, marks: tuple[Any, ...], depth: int
) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0], (*annotation.__metadata__, *marks), depth)
    if origin in {Union, UnionType}:
        (some,) = (each for each in arguments if each is not NoneType)
        if some is ExecutionError and depth >= CAUSES_DEEP:
            return st.none()
        return st.none() | _values(some, marks, depth)
    if origin is tuple:
        return st.lists(
            _values(arguments[0], (), depth), min_size=_least(marks), max_size=3
        )
    if origin is dict:
        return st.dictionaries(texts, _values(arguments[1], (), depth), max_size=3)
    return _leaves(annotation, marks, depth)


def _leaves(kind: Any, marks: tuple[Any, ...], depth: int) -> st.SearchStrategy[Any]:
    if isclass(kind) and issubclass(kind, Record):
        return records(kind, depth + 1)
    if isclass(kind) and issubclass(kind, Enum):
        return st.sampled_from([member.value for member in kind])
    if kind is str:
        return _strings(marks)
    if kind is int:
        return _integers(_flat(marks))
    plain = {
        bool: st.booleans(),
        bytes: st.binary(max_size=50),
        float: st.floats(1, allow_infinity=False),
    }
    return plain[kind]


def _strings(marks: tuple[Any, ...]) -> st.SearchStrategy[str]:
    for mark in marks:
        if isinstance(mark, Opaque):
            return json_objects if mark.objects_only else json_texts()
        if isinstance(mark, StringConstraints) and mark.pattern:
            return uuids
    return texts.filter(lambda text: len(text) >= _least(marks))


def _least(marks: tuple[Any, ...]) -> int:
    return max((m.min_length for m in _flat(marks) if isinstance(m, MinLen)), default=0)


def _integers(marks: list[Any]) -> st.SearchStrategy[int]:
    least, most = INT64_MIN, INT64_MAX
    for mark in marks:
        match mark:
            case Ge(ge=bound):
                least = max(least, int(str(bound)))
            case Gt(gt=bound):
                least = max(least, int(str(bound)) + 1)
            case Le(le=bound):
                most = min(most, int(str(bound)))
    near = st.sampled_from([least, least + 1, most - 1, most])
    return near | st.integers(least, most)


def _flat(marks: tuple[Any, ...]) -> list[Any]:
    """The constraints, those inside a `Field` among them."""
    flat: list[Any] = []
    for mark in marks:
        flat.extend(mark.metadata if isinstance(mark, FieldInfo) else [mark])
    return [mark for mark in flat if not isinstance(mark, MaxLen)]
