"""What kinds of values a model's fields hold, as far as formats must know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from schemas.opaque import Opaque
from schemas.record import Record


class Leaf(Enum):
    """A value that needs no looking into."""

    PLAIN = "plain"
    OPAQUE = "opaque"
    OPAQUE_OR_NULL = "opaque or null"
    """Null is no value: for a field that may be absent, and is an object else."""


@dataclass(frozen=True)
class ItemsOf:
    """A list."""

    item: Shape


@dataclass(frozen=True)
class MapOf:
    """An object with free member names."""

    value: Shape


Shape = Leaf | ItemsOf | MapOf | type[Record]


@cache
def shapes(model: type[Record]) -> Mapping[str, Shape]:
    """The shape of each field of a model, in their order; null is not told apart."""
    return {
        name: _shape(Annotated[field.annotation, None, *field.metadata])
        for name, field in model.model_fields.items()
    }


def _shape(annotation: Any) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        opaque = any(isinstance(mark, Opaque) for mark in annotation.__metadata__)
        return Leaf.OPAQUE if opaque else _shape(arguments[0])
    if origin in {Union, UnionType}:
        some = _shape(next(each for each in arguments if each is not NoneType))
        return Leaf.OPAQUE_OR_NULL if some is Leaf.OPAQUE else some
    if origin is tuple:
        return _container(ItemsOf, arguments[0])
    if origin is dict:
        return _container(MapOf, arguments[1])
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation
    return Leaf.PLAIN


def _container(kind: type[ItemsOf | MapOf], content: Any) -> Shape:
    inner = _shape(content)
    return Leaf.PLAIN if inner is Leaf.PLAIN else kind(inner)
