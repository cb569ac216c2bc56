"""Functions made ahead of time, to be compiled (docs/adr/0016), do what others do."""

from __future__ import annotations

import builtins
import json
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from schemas.avro_format import schema_of
from schemas.avro_reader import Reader, reader_of, reader_source
from schemas.avro_source import Made
from schemas.avro_values import long_bytes
from schemas.avro_writer import writer_of, writer_source
from schemas.codec import DecodeError, decode_fields, decode_row
from schemas.record import Record
from schemas.steps import StepReference, StepSucceeded
from tests.unit.schemas.factories import models, step_succeeded
from tools.avro import BUSY, functions, module

SAMPLES = Path(__file__).parent / "samples/0.1.0.json"


@cache
def made() -> dict[str, Any]:
    """The names of the module that is compiled."""
    names: dict[str, Any] = {}
    exec(compile(module(), "avro_made.py", "exec"), names)
    return names


@pytest.mark.parametrize("model", BUSY, ids=lambda model: model.__name__)
def test_they_write_and_read_what_others_do(model: type[Record]) -> None:
    """Byte by byte, and member by member."""
    schema = schema_of(model)
    sample = json.loads(SAMPLES.read_text("utf-8"))[model.__name__]
    data = bytes.fromhex(sample["record"])
    read = decode_row if model.__module__ == "schemas.rows" else fields_of
    fields = read(model, data)

    pieces: list[bytes] = [b"before"]
    function(writer_source(schema))(fields, pieces)
    others: list[bytes] = [b"before"]
    writer_of(schema)(fields, others)

    assert b"".join(pieces) == b"".join(others)
    found = function(reader_source(schema))(b"".join(pieces), len(b"before"), 0)
    assert found == reader_of(schema)(b"".join(others), len(b"before"))
    assert found[0] == fields


def fields_of(model: type[Record], data: bytes) -> dict[str, Any]:
    return decode_fields(data, model)[1]


def function(source: Made) -> Any:
    """That of the module, which has it under the digest of its source."""
    found = made()["FUNCTIONS"][source.digest]
    assert found.__name__ == source.name
    return found


def test_all_that_they_use_is_there() -> None:
    """Also what only refusals need."""
    names = made()
    own = [
        each
        for each in names.values()
        if isinstance(each, FunctionType) and each.__globals__ is names
    ]
    used = {name for each in own for name in each.__code__.co_names}
    attributes = {"append", "decode", "encode", "items", "start"}
    missing = used - attributes - names.keys() - vars(builtins).keys()
    assert not missing


def test_data_that_do_not_follow_their_schema_are_refused() -> None:
    """By the functions that are compiled, where they are."""
    schema, fields = schema_of(StepSucceeded), step_succeeded()
    read = reader_of(schema)
    pieces: list[bytes] = []
    writer_of(schema)(fields, pieces)
    data = b"".join(pieces)
    assert read(data, 0) == (fields, len(data))
    for end in range(len(data)):
        assert ends_early(read, data[:end])
    for size in (5000, 2**31, 2**62, 2**63 - 1):
        assert ends_early(read, long_bytes(size) + data)


def test_values_that_do_not_follow_their_schema_are_refused() -> None:
    """Likewise."""
    fields = step_succeeded()
    write = writer_of(schema_of(StepSucceeded))
    with pytest.raises((TypeError, AttributeError)):
        write({**fields, "worker": 3}, [])
    with pytest.raises(TypeError):
        write({**fields, "attempt": "3"}, [])
    with pytest.raises(OverflowError, match="longer than 64 bits"):
        write({**fields, "attempt": 2**63}, [])
    with pytest.raises(KeyError, match="result"):
        write({name: fields[name] for name in fields if name != "result"}, [])


def ends_early(read: Reader, data: bytes) -> bool:
    """Whether the data are found to be cut off, inside or at their end."""
    try:
        return read(data, 0)[1] > len(data)
    except DecodeError as error:
        return "ends too early" in error.detail


def test_no_function_hides_another() -> None:
    """All of a module have names of their own, those of records within too."""
    names = [line.split("(")[0] for line in module().split("\n") if line[:4] == "def "]
    assert len(set(names)) == len(names) > len(list(functions()))


def test_sources_differ_between_schemas_and_directions() -> None:
    """So that a function is never taken for that of another schema."""
    kinds = [model for model in models() if model is not StepReference]  # a base
    makers = (reader_source, writer_source)
    digests = [make(schema_of(model)).digest for model in kinds for make in makers]
    assert len(set(digests)) == len(digests)


def test_what_is_made_ahead_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found by its source; nothing else is asked."""
    source = writer_source(schema_of(BUSY[0]))
    marker = object()
    monkeypatch.setattr("schemas.avro_source.FUNCTIONS", {source.digest: marker})
    assert source.function() is marker
    assert callable(reader_source(schema_of(BUSY[0])).function())
