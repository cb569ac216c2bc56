from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.opaque import MAX_DUMP_DEPTH, dump, is_json, load, merge


def nested(levels: int) -> list[Any]:
    """Lists in lists."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, None, True]}, '{"a":[1,2.5,null,true]}'),
        ("é\n", '"é\\n"'),
        ((1, 2), "[1,2]"),
        (None, "null"),
        ({}, "{}"),
    ],
)
def test_dump(value: object, text: str) -> None:
    """Values become compact text in which characters stand for themselves."""
    assert dump(value) == text


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_dump_refuses_numbers_json_lacks(number: float) -> None:
    """NaN and infinities are no JSON (R27)."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump({"a": [number]})


@pytest.mark.parametrize("key", [1, None, True, 2.5, (1,)])
def test_dump_refuses_other_keys(key: object) -> None:
    """Keys that are no strings are refused, not turned into strings (R27)."""
    with pytest.raises(TypeError):
        dump([{"a": {key: 1}}])


@pytest.mark.parametrize("value", [b"x", {1, 2}, object(), 1j])
def test_dump_refuses_other_types(value: object) -> None:
    """What has no JSON form is refused (R27)."""
    with pytest.raises(TypeError):
        dump({"a": value})


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}])
def test_dump_refuses_lone_surrogates(value: object) -> None:
    """Half a surrogate pair could not travel as UTF-8."""
    with pytest.raises(ValueError, match="surrogates not allowed"):
        dump(value)


def test_dump_refuses_circles() -> None:
    """A value that holds itself has no text."""
    value: list[Any] = []
    value += [value, value]
    with pytest.raises(ValueError, match="Circular"):
        dump(value)


def test_dump_depth() -> None:
    """What is written nests less deep than what is read, so that it can be embedded."""
    assert dump(nested(MAX_DUMP_DEPTH))
    for levels in (MAX_DUMP_DEPTH + 1, 900, 100_000):
        with pytest.raises(ValueError, match="nested too deep"):
            dump(nested(levels))


@pytest.mark.parametrize("digits", [19, 4300, 4301, 50_000])
def test_integers_of_any_size(digits: int) -> None:
    """Integers survive writing and reading whatever their size (R27)."""
    text = '{"a":[-' + "7" * digits + ',true,"b"]}'
    assert dump(load(text)) == text


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", '{"a":Infinity}', "1 2", "[" * 100_000]
)
def test_load_refuses_what_is_no_json(text: str) -> None:
    """Text that is no JSON raises ValueError, whatever is wrong with it."""
    with pytest.raises(ValueError):  # noqa: PT011 - whichever of json's messages
        load(text)


@pytest.mark.parametrize(
    "text", ["1", ' {"a":[]} ', "null", '"\\ud83d\\ude00"', "9" * 5000]
)
def test_is_json(text: str) -> None:
    """Any JSON value may be embedded, white space and all."""
    assert is_json(text)


@pytest.mark.parametrize(
    "text", ["", "1,2", "[NaN]", '{"a":1,"a":1}', '"\\ud83d"', "[" * 999]
)
def test_is_no_json(text: str) -> None:
    """Text that would break the record round it is told."""
    assert not is_json(text)


def test_merge() -> None:
    """Members are set in their place or at the end; the others stay as written."""
    text = ' { "a" : 1.50, "b":[ 1 ],"c":1e5 } '
    merged = merge(text, {"b": {"x": "é"}, "d": None})
    assert merged == '{"a":1.50,"b":{"x":"é"},"c":1e5,"d":null}'


def test_merge_into_nothing() -> None:
    """The empty object takes members too."""
    assert merge("{}", {}) == "{}"
    assert json.loads(merge("{ }", {"a\n": 1})) == {"a\n": 1}


@pytest.mark.parametrize("text", ["[]", "3", "", '{"a":1,"a":2}', '{"a":NaN}'])
def test_merge_wants_an_object(text: str) -> None:
    """Only a JSON object has members to set."""
    with pytest.raises(ValueError):  # noqa: PT011 - DecodeError, of various details
        merge(text, {"a": 1})
