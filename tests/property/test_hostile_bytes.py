"""Bytes of unknown origin end in a record or a `DecodeError`, and in nothing else."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.avro_format import HEADER_BYTES, header_of
from schemas.codec import (
    DecodeError,
    DecodeReason,
    Format,
    decode,
    decode_fields,
    decode_row,
    encode_fields,
)
from schemas.context import PlanSubmission
from schemas.record import Record
from schemas.results import PlanResult
from schemas.rows import StepRow
from schemas.steps import (
    StepFailed,
    StepRequest,
    StepStarted,
    StepSucceeded,
    StepWarned,
)
from schemas.validation import identify, peek_ids, validate, violations_context
from tests.property.strategies import records
from tests.unit.schemas.factories import NOW, reference, submission

MODELS: tuple[type[Record], ...] = (
    PlanSubmission,
    StepRequest,
    StepStarted,
    StepSucceeded,
    StepFailed,
    StepWarned,
    PlanResult,
)


def handle(data: bytes) -> None:
    """Do with bytes all that a receiver would."""
    peek_ids(data)
    with suppress(DecodeError):
        decode(data, *MODELS)
    with suppress(DecodeError):
        decode_fields(data, *MODELS)
    with suppress(DecodeError):
        decode_row(StepRow, data)
    with suppress(DecodeError):
        _, fields = decode_fields(data, PlanSubmission)
        identify(fields)
        violations_context(validate(fields)[1])


@given(st.binary(max_size=200))
@example(b"\xc3\x01")
@example(b"\x01\x00\x00\x00")
def test_random_bytes(data: bytes) -> None:
    """Random bytes are handled, as they are and behind the header of each model."""
    handle(data)
    for model in MODELS:
        handle(header_of(model) + data)


@given(st.text(alphabet='{}[]",:\\ud8019eE+-.ntrfN \n', max_size=100))
def test_random_json_pieces(text: str) -> None:
    """Random pieces of JSON are handled, also where opaque values stand."""
    handle(text.encode())
    handle(b'{"environment":{"a":' + text.encode() + b"}}")


encoded = st.tuples(st.sampled_from(MODELS), st.sampled_from(Format)).flatmap(
    lambda kind: records(kind[0]).map(
        lambda fields: encode_fields(kind[0], fields, kind[1])
    )
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Encoded records with bytes changed, taken out, put in or doubled."""
    data = bytearray(draw(encoded))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        until = draw(st.integers(at, min(at + 8, len(data))))
        data[at:until] = draw(
            st.one_of(st.binary(max_size=8), st.just(bytes(data[at:until]) * 2))
        )
    return bytes(data)


@given(mutated())
def test_mutated_records(data: bytes) -> None:
    """Records that were damaged on the way are handled."""
    handle(data)


@given(encoded, st.data())
def test_truncated_records(data: bytes, draw: st.DataObject) -> None:
    """Records that were cut off are malformed."""
    cut = data[: draw.draw(st.integers(0, len(data) - 1))]
    with pytest.raises(DecodeError) as caught:
        decode_fields(cut, *MODELS)
    assert caught.value.reason is DecodeReason.MALFORMED
    handle(cut)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner)
    ),
    max_leaves=4,
)
paths = st.lists(st.integers(0, 20), min_size=1, max_size=4)


@given(paths, any_json)
def test_broken_submissions(path: list[int], value: Any) -> None:
    """A submission with anything in any place is judged, never stumbled over."""
    fields: Any = submission()
    inner = fields
    for choice in path:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not keys:
            break
        key = keys[choice % len(keys)]
        if choice == path[-1] or not isinstance(inner[key], dict | list):
            inner[key] = value
            break
        inner = inner[key]
    model, violations = validate(fields)
    assert (model is None) == bool(violations)
    assert len(violations_context(violations)["violations"]) <= 50


def varint(number: int) -> bytes:
    """A whole number as Avro writes it."""
    zigzag = (number << 1) ^ (number >> 63)
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*out, zigzag])


def refused(data: bytes, *models: type[Record]) -> DecodeError:
    """The error that bytes end in, soon."""
    began = time.monotonic()
    with pytest.raises(DecodeError) as caught:
        decode_fields(data, *models)
    assert time.monotonic() - began < 5
    return caught.value


def request_with(place: str, piece: bytes) -> bytes:
    """A step request in Avro in which a value's encoding is another."""
    string = varint(1) + b"x"
    parts = {
        "ids": string * 3,
        "numbers": varint(0) + varint(1),
        "action": string,
        "payload": varint(2) + b"{}",
        "environment": varint(0),
        "timeout_ms": varint(0),
        "times": varint(1) + varint(0) + varint(1),
        "optional": varint(0) * 4,
    }
    return header_of(StepRequest) + b"".join({**parts, place: piece}.values())


def test_request_unchanged() -> None:
    """The encoding that the following tests break is right."""
    data = request_with("action", varint(1) + b"y")
    assert decode_fields(data, StepRequest)[1]["action"] == "y"


SIZES = [2**31, 2**40, 2**62, 2**63 - 1, -1, -(2**31), -(2**63)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", ["action", "environment"])
def test_sizes(place: str, size: int) -> None:
    """Lengths and counts that the data do not hold are refused at once."""
    refused(request_with(place, varint(size)), StepRequest)
    refused(request_with(place, varint(size) + b"\x00" * 100), StepRequest)


BROKEN: list[tuple[str, str, bytes]] = [
    ("branch that is not there", "timeout_ms", varint(2)),
    ("negative branch", "timeout_ms", varint(-1)),
    ("branch in too many bytes", "timeout_ms", b"\x82\x00\x02"),
    ("number of 70 bits", "timeout_ms", b"\x02" + b"\xff" * 9 + b"\x7f"),
    ("number of 65 bits", "timeout_ms", b"\x02" + b"\xff" * 9 + b"\x03"),
    ("number without end", "timeout_ms", b"\x02" + b"\x80" * 100_000),
    ("text that is no UTF-8", "action", varint(2) + b"\xc3\x28"),
    ("surrogate in UTF-8", "action", varint(3) + b"\xed\xa0\x80"),
    (
        "name twice in a map",
        "environment",
        varint(2) + (varint(1) + b"a" + varint(1) + b"1") * 2 + varint(0),
    ),
    ("name that is no UTF-8", "environment", varint(1) + varint(1) + b"\xff"),
]


@pytest.mark.parametrize(
    ("place", "piece"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_broken_avro(place: str, piece: bytes) -> None:
    """Encodings that Avro does not have are malformed, and told where."""
    error = refused(request_with(place, piece), StepRequest)
    assert error.reason is DecodeReason.MALFORMED
    assert error.position is not None
    assert error.position >= HEADER_BYTES


def test_blocks_with_sizes() -> None:
    """A map may come in several blocks, with their sizes told, as Avro allows."""
    entry = varint(1) + b"%c" + varint(1) + b"1"
    blocks = (
        varint(-1) + varint(4) + entry % b"a" + varint(1) + entry % b"b" + varint(0)
    )
    _, fields = decode_fields(request_with("environment", blocks), StepRequest)
    assert fields["environment"] == {"a": "1", "b": "1"}


def failed(error: bytes) -> bytes:
    """A failed step in Avro, whose error is encoded so."""
    fields = {**reference(), "worker": "", "started_at": NOW, "ended_at": NOW}
    whole = encode_fields(StepFailed, {**fields, "error": ERROR})
    return whole[: -len(ERROR_BYTES)] + error


ERROR: dict[str, Any] = {
    "error_code": "C",
    "message": "",
    "step_id": None,
    "severity": "warn",
    "recoverable": True,
    "cause": None,
    "context": "{}",
}
BEFORE_CAUSE = varint(1) + b"C" + varint(0) + varint(0) + b"\x00" + b"\x01"
ERROR_BYTES = BEFORE_CAUSE + varint(0) + varint(2) + b"{}"


def test_error_unchanged() -> None:
    """The encoding that the following tests break is right."""
    assert decode_fields(failed(ERROR_BYTES), StepFailed)[1]["error"] == ERROR


@pytest.mark.parametrize("levels", [64, 1000, 10_000, 1_000_000])
def test_causes_without_end(levels: int) -> None:
    """Causes nested ten thousand deep, and more, are TOO_DEEP and nothing worse."""
    error = failed((BEFORE_CAUSE + varint(1)) * levels + ERROR_BYTES)
    assert refused(error, StepFailed).reason is DecodeReason.TOO_DEEP


@pytest.mark.parametrize(
    "piece",
    [b"\x06\x01", b"\x01\x01", b"\x00\x02"],
    ids=["symbol that is not there", "negative symbol", "neither true nor false"],
)
def test_broken_errors(piece: bytes) -> None:
    """Symbols and booleans that do not exist are malformed."""
    broken = BEFORE_CAUSE[: -len(piece)] + piece + ERROR_BYTES[len(BEFORE_CAUSE) :]
    assert refused(failed(broken), StepFailed).reason is DecodeReason.MALFORMED


def test_huge_avro_string() -> None:
    """A string of 64 MB is read in a moment."""
    size = 64 * 2**20
    data = request_with("action", varint(size) + b"x" * size)
    began = time.monotonic()
    _, fields = decode_fields(data, StepRequest)
    assert len(fields["action"]) == size
    assert time.monotonic() - began < 5
