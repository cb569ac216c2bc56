"""Writes the source of `schemas/avro_made.py` that is compiled (docs/adr/0016).

    python tools/avro.py FILE

The functions are those of the `schemas` that Python finds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from schemas.avro_format import schema_of
from schemas.avro_reader import reader_source
from schemas.avro_source import Made
from schemas.avro_writer import writer_source
from schemas.context import PlanSubmission
from schemas.events import PlanExecutionEvent
from schemas.record import Record
from schemas.results import ExecutionAudit, PlanResult
from schemas.rows import PlanRow, RegistryRow, StepRow
from schemas.steps import StepFailed, StepRequest, StepSucceeded

BUSY: tuple[type[Record], ...] = (
    PlanSubmission,
    StepRequest,
    StepSucceeded,
    StepFailed,
    PlanRow,
    StepRow,
    RegistryRow,
    PlanResult,
    PlanExecutionEvent,
    ExecutionAudit,
)
"""What comes with most plans. Others are too rare to be worth a compiler's time."""

HEAD = '''\
"""Functions that follow Avro schemas, made ahead of time by `tools/avro.py`."""

from __future__ import annotations

from typing import Any, Final

from schemas.avro_values import (
    SMALL,
    fields_of,
    long_bytes,
    nested_too_deep,
    no_boolean,
    no_branch,
    no_symbol,
    no_text,
    pack_double,
    read_block,
    read_long,
    read_size,
    read_string,
    twice,
    unpack_double,
)
'''


def module() -> str:
    """The whole module."""
    made = list(functions())
    table = [f"    {each.digest!r}: {each.name}," for each in made]
    sources = [each.text for each in made]
    table = ["FUNCTIONS: Final[dict[str, Any]] = {", *table, "}", ""]
    return "\n".join([HEAD, *sources, *table])


def functions() -> Iterator[Made]:
    """One that reads and one that writes, for each."""
    for model in BUSY:
        schema = schema_of(model)
        yield reader_source(schema)
        yield writer_source(schema)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(module(), encoding="utf-8")
