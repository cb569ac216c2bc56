from __future__ import annotations

import json
import time
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.serialization import TooLarge, Unencodable, dump_json, load_json

LIMIT = 256 * 1024


class Colour(StrEnum):
    RED = "red"


class Strange(Enum):
    ONE = 1


class Model(BaseModel):
    name: str
    inner: dict[str, int]


@dataclass
class Point:
    x: int
    of: Any = None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ({"a": (1, 2)}, '{"a":[1,2]}'),
        ([True, 1.5, "é"], '[true,1.5,"é"]'),
        (Colour.RED, '"red"'),
        (Model(name="n", inner={"a": 1}), '{"name":"n","inner":{"a":1}}'),
        ([Model(name="n", inner={})], '[{"name":"n","inner":{}}]'),
        (Point(1, Point(2)), '{"x":1,"of":{"x":2,"of":null}}'),
        ({"p": [Point(1)]}, '{"p":[{"x":1,"of":null}]}'),
    ],
)
def test_what_handlers_may_return(value: Any, text: str) -> None:
    """R27: any JSON value; tuples, models and dataclasses become some."""
    assert dump_json(value, LIMIT) == text


def cyclic() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [float("inf")],
        b"bytes",
        {"a": {1, 2}},
        {1: "a"},
        {None: 1},
        {"a": [{2.5: 1}]},
        object(),
        Strange.ONE,
        Point(float("nan")),  # type: ignore[arg-type]
        Point,
        "\ud800",
        {"\udfff": 1},
        cyclic(),
        nested(5000),
        Point(1, {3: 4}),
        (i for i in range(3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_handlers_may_not_return(value: Any) -> None:
    """R27: an attempt whose result is none of it has failed, not the worker."""
    with pytest.raises(Unencodable):
        dump_json(value, LIMIT)


@pytest.mark.parametrize("digits", [1, 4301, 50_000])
def test_integers_of_any_size_survive(digits: int) -> None:
    """R27: also past the 4,300 digits at which Python stops by default."""
    text = '{"n":' + "-" + "7" * digits + "}"
    value = load_json(text)
    assert value["n"] % 10**9 == -int("7" * min(digits, 9)) % 10**9
    assert dump_json(value, LIMIT) == text


def test_a_megabyte_of_digits_does_not_stop_the_loop_for_long() -> None:
    """Python's own conversion takes twenty seconds for it."""
    before = time.perf_counter()
    load_json("9" * 1_000_000)
    assert time.perf_counter() - before < 5


def test_size_counts_bytes() -> None:
    """R22: what counts is what travels."""
    assert len(dump_json("é" * 10, 22)) == 12
    with pytest.raises(TooLarge, match="22 bytes of JSON, over the limit of 21"):
        dump_json("é" * 10, 21)


def test_an_absurd_integer_is_refused_at_once() -> None:
    """Writing down its digits would take minutes."""
    before = time.perf_counter()
    with pytest.raises(TooLarge):
        dump_json({"n": 1 << 100_000_000}, LIMIT)
    assert time.perf_counter() - before < 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@given(json_values)
def test_what_is_written_is_read_back(value: Any) -> None:
    """Everything JSON can say comes back as it was."""
    text = dump_json(value, LIMIT)
    assert load_json(text) == value == json.loads(text)
