from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest

from schemas.codec import DecodeError, DecodeReason, decode_fields
from schemas.context import PlanSubmission
from schemas.json_scan import MAX_DEPTH, is_deeper
from tests.unit.schemas.factories import EXECUTION_ID, PLAN_ID


def fields_of(text: str | bytes) -> dict[str, object]:
    """The fields of a submission in JSON."""
    data = text.encode() if isinstance(text, str) else text
    return decode_fields(data, PlanSubmission)[1]


def refusal(text: str | bytes) -> DecodeError:
    """The error that the text ends in."""
    with pytest.raises(DecodeError) as caught:
        fields_of(text)
    return caught.value


# Places of a value: read by planstream, opaque, and in a member that nobody knows.
PLACES = [
    '{"started_at": %s}',
    '{"environment": {"a": %s}}',
    '{"plan": {"steps": [{"payload": {"a": [1, %s]}}]}}',
    '{"plan": {"metadata": {"deep": {"er": %s}}}}',
    '{"unknown": [%s]}',
]
EVERYWHERE = pytest.mark.parametrize("place", PLACES)


@pytest.mark.parametrize(
    "text",
    [
        '{"plan": {}, "plan": {}}',
        '{"plan": {"id": 1, "name": 2, "id": 3}}',
        '{"plan": {"retry_policy": {"backoff_ms": 1, "backoff_ms": 1}}}',
        '{"plan": {"steps": [{}, {"action": 1, "action": 2}]}}',
        '{"environment": {"a": 1, "a": 1}}',
        '{"environment": {"a": {"b": [{"c": 1, "c": 2}]}}}',
        '{"plan": {"\\u0069d": 1, "id": 2}}',
        '{"plan": {"id": 1, "\\u0069d": 2}}',
    ],
)
def test_duplicate_names(text: str) -> None:
    """Two members of one name are malformed, at any depth and however written (R37)."""
    error = refusal(text)
    assert error.reason is DecodeReason.MALFORMED
    assert error.detail == "a duplicate member name"


def test_position_of_a_duplicate() -> None:
    """The position is where the second name begins, in bytes."""
    text = '{"environment": {"é": {"b": 1, "b": 2}}}'
    assert refusal(text).position == text.encode().rindex(b'"b"')


def test_same_name_in_different_objects() -> None:
    """A name may come again in another object."""
    text = '{"environment": {"a": {"a": 1}, "b": {"a": 1}}, "a": 1}'
    assert fields_of(text)["environment"] == {"a": '{"a": 1}', "b": '{"a": 1}'}


@EVERYWHERE
@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_literals_that_json_lacks(place: str, literal: str) -> None:
    """NaN and the infinities are malformed wherever they stand (R37)."""
    error = refusal(place % literal)
    assert error.reason is DecodeReason.MALFORMED
    assert literal in error.detail
    assert error.position == (place % literal).index(literal)


@EVERYWHERE
@pytest.mark.parametrize(
    "string",
    [
        r'"\ud800"',
        r'"\uDFFF"',
        r'"a\udbffb"',
        r'"\ud800\ud800"',
        r'"\udc00\ud800"',
        r'"\\\ud800"',
        r'"\uD800A"',
    ],
)
def test_lone_surrogates(place: str, string: str) -> None:
    """Half a surrogate pair is malformed wherever it stands (R37)."""
    error = refusal(place % string)
    assert error.reason is DecodeReason.MALFORMED
    assert error.detail == "a lone surrogate"
    assert error.position is not None


@EVERYWHERE
@pytest.mark.parametrize(
    "string", [r'"\ud83d\ude00"', r'"\\ud800"', '"😀"', r'"\ue000"']
)
def test_whole_characters(place: str, string: str) -> None:
    """Pairs are characters, and an escaped backslash begins no escape."""
    fields_of(place % string)


def test_names_with_lone_surrogates() -> None:
    """Half a pair is malformed in a member's name too."""
    assert refusal(r'{"environment": {"\ud800": 1}}').detail == "a lone surrogate"


def test_byte_order_mark() -> None:
    """A BOM is malformed (R37)."""
    error = refusal(b"\xef\xbb\xbf{}")
    assert error.reason is DecodeReason.MALFORMED
    assert error.position == 0


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_other_encodings(codec: str) -> None:
    """Anything but UTF-8 is malformed (R37)."""
    data = '{"user_id": "é"}'.encode(codec)
    assert refusal(data).reason is DecodeReason.MALFORMED


@pytest.mark.parametrize("sequence", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe9"])
def test_broken_utf8(sequence: bytes) -> None:
    """Overlong forms, encoded surrogates and cut characters are malformed."""
    error = refusal(b'{"user_id": "' + sequence + b'"}')
    assert error.reason is DecodeReason.MALFORMED
    assert error.position == 13


def test_white_space_round_the_record() -> None:
    """White space before and after a record is fine (R37)."""
    assert fields_of(' \r\n\t{ "a" : 1 }\n \n') == {"a": 1}


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("{", 1),
        ("{]", 1),
        ('{"a"}', 4),
        ('{"a":}', 5),
        ('{"a":1', 6),
        ('{"a":1,}', 7),
        ('{"a":1 "b":2}', 6),
        ('{"a":1}x', 7),
        ('{"a":01}', 6),
        ('{"a":1.}', 6),
        ('{"a":tru}', 5),
        ('{"a":"b\n"}', 7),
        ("{'a':1}", 1),
        ('{"é":}', 6),
        ('{"environment":{"a":[1,x]}}', 23),
        ('{"environment":{"a":"\\x"}}', 21),
        ('{"plan":{"steps":[1 2]}}', 19),
        ('{"plan":{"steps":[,]}}', 18),
        ('{"plan":{"steps":[{}', 20),
        ('{"a":1,,"b":2}', 7),
        ('{,"a":1}', 1),
        ("\x0b{}", 0),
        ("// no\n{}", 0),
    ],
)
def test_syntax(text: str, position: int) -> None:
    """What is no JSON is malformed; the position is where it stops being JSON."""
    error = refusal(text)
    assert error.reason is DecodeReason.MALFORMED
    assert error.position == position


def nested(levels: int) -> str:
    """A submission that nests so deep."""
    inner = levels - 2
    return f'{{"environment": {{"a": {"[" * inner}{"]" * inner}}}}}'


def test_depth_to_the_limit() -> None:
    """Nesting of 200 levels is read, of 201 it is too deep (R37)."""
    assert fields_of(nested(MAX_DEPTH))
    error = refusal(nested(MAX_DEPTH + 1))
    assert error.reason is DecodeReason.TOO_DEEP


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("closed", [True, False])
def test_depth_of_ten_thousand(opening: str, closed: bool) -> None:
    """However deep it nests, and closed or not, it is too deep and nothing worse."""
    closing = {"[": "]", '{"a":': "}"}[opening] if closed else ""
    text = '{"environment": ' + opening * 10_000 + "1" + closing * 10_000 + "}"
    assert refusal(text).reason is DecodeReason.TOO_DEEP


def test_wide_is_not_deep() -> None:
    """Brackets count by depth, not by number, and not within strings."""
    wide = json.dumps([[{}]] * 1000 + ["[" * 1000, '\\"{' * 1000, "\\" * 7])
    assert fields_of('{"environment": {"a": ' + wide + "}}")


def test_depth_after_strings() -> None:
    """Strings, escapes and all, do not hide brackets from the count."""
    text = json.dumps({"a\\": '"', '"': "\\", "c": '\\"'})
    assert is_deeper(text[:-1] + ',"d":' + "[" * 30 + "]" * 30 + "}", 30)
    assert not is_deeper(text[:-1] + ',"d":' + "[" * 29 + "]" * 29 + "}", 30)


@EVERYWHERE
@pytest.mark.parametrize("digits", [20, 4300, 4301, 100_000])
def test_integers_of_any_size(place: str, digits: int) -> None:
    """An integer of any size is read without a stumble, whoever is to judge it."""
    fields_of(place % ("9" * digits))


@pytest.mark.parametrize(
    "text",
    [
        "123456789012345678901234567890",
        "9" * 5000,
        "1.50",
        "1E+2",
        "-0.0",
        '{"b":1,  "a" : [ 1 ]}',
        '"\\u0041\\/"',
        '""',
        "null",
        "[ ]",
        "{ }",
    ],
)
def test_opaque_values_stay_as_written(text: str) -> None:
    """Opaque values come as the very text that was sent (F12)."""
    plan = f'{{"metadata": {text}, "steps": [{{"payload" :{text}}}]}}'
    fields = fields_of(f'{{"plan":{plan}, "environment":{{"a":\t{text}\n}}}}')
    assert fields["environment"] == {"a": text}
    assert fields["plan"] == {"metadata": text, "steps": [{"payload": text}]}


@pytest.mark.parametrize("value", ["3", '"a"', "null", "true", "[1, [2]]", '{"a": {}}'])
@pytest.mark.parametrize("name", ["plan", "environment", "started_at", "unknown"])
def test_wrong_kinds_are_left_to_validation(name: str, value: str) -> None:
    """A value of another kind than expected is read all the same."""
    fields = fields_of(f'{{"{name}": {value}}}')
    assert list(fields) == [name]
    if not value.startswith("{"):
        assert fields[name] == json.loads(value)


@pytest.mark.parametrize("value", ["3", "null", "{}", "[3, {}, null, [1]]"])
def test_wrong_steps_are_left_to_validation(value: str) -> None:
    """Steps that are no list of objects are read all the same."""
    assert fields_of(f'{{"plan": {{"steps": {value}}}}}') == {
        "plan": {"steps": json.loads(value)}
    }


def test_huge_string() -> None:
    """A string of 64 MB is read in a moment, and kept as it is."""
    text = '"' + "x" * (64 * 2**20) + '"'
    began = time.monotonic()
    fields = fields_of('{"environment": {"a": ' + text + "}}")
    assert fields["environment"] == {"a": text}
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "filling",
    ['"",', "[],", "{},", "[[", '"\\\\",', '"\\ud83d\\ude00",', "1,", " ", "\\u", '"'],
)
def test_time_is_linear(filling: str) -> None:
    """A megabyte of anything is judged within moments."""
    text = '{"environment": {"a": [' + filling * (2**20 // len(filling)) + "1]}}"
    began = time.monotonic()
    with suppress(DecodeError):
        fields_of(text)
    assert time.monotonic() - began < 5


def test_ids_are_strings() -> None:
    """Members that planstream reads come as Python values."""
    text = f'{{"plan": {{"id": "{PLAN_ID}"}}, "execution_id": "{EXECUTION_ID}"}}'
    assert fields_of(text) == {"plan": {"id": PLAN_ID}, "execution_id": EXECUTION_ID}
