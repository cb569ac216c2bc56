"""What producers and consumers need that have the .avsc files, and nothing of ours."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import load_schema, to_parsing_canonical_form

SCHEMAS = Path(__file__).parents[2] / "schemas" / "avro"
EMPTY = 0xC15D213AA4D7A795
"""The fingerprint of nothing (Avro specification, "Schema Fingerprints")."""


def schema_of(name: str) -> Any:
    """A schema, with those that it names."""
    return load_schema(str(SCHEMAS / f"planstream.{name}.avsc"))


def fingerprint(text: str) -> int:
    """CRC-64-AVRO, bit by bit as the specification has it."""
    found = EMPTY
    for byte in text.encode():
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ EMPTY if found & 1 else found >> 1
    return found


def header_of(name: str) -> bytes:
    """How a record of this schema begins in Avro's single-object encoding."""
    canonical = to_parsing_canonical_form(schema_of(name))
    return b"\xc3\x01" + fingerprint(canonical).to_bytes(8, "little")


def write_avro(submission: dict[str, Any]) -> bytes:
    """A submission as an Avro record: opaque values are JSON text in there."""
    plan = dict(submission["plan"])
    plan["steps"] = [
        {**step, "payload": json.dumps(step["payload"])} for step in plan["steps"]
    ]
    environment = {
        name: json.dumps(value) for name, value in submission["environment"].items()
    }
    fields = {**submission, "plan": plan, "environment": environment}
    return write_fields(fields)


def write_fields(fields: dict[str, Any]) -> bytes:
    """The fields of a submission, opaque ones as text, as an Avro record."""
    out = io.BytesIO()
    out.write(header_of("PlanSubmission"))
    fastavro.schemaless_writer(out, schema_of("PlanSubmission"), fields)
    return out.getvalue()


def read_avro(value: bytes, name: str) -> Any:
    """A record of this schema."""
    header = header_of(name)
    assert value.startswith(header), value[:10]
    data = io.BytesIO(value[len(header) :])
    record = fastavro.schemaless_reader(data, schema_of(name), None)
    assert data.read() == b""
    return record
