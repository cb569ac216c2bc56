"""The command `python -m benchmarks limits`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from benchmarks import machine
from benchmarks.limits.run import RESULTS, ROWS, Options, Report, run
from benchmarks.presenting import (
    Broker,
    Files,
    JsonFile,
    MarkdownFile,
    Say,
    Shown,
    present,
)
from benchmarks.tables import Section, short


def limits(
    *,
    records: Annotated[
        int, typer.Option(min=1000, help="Sent, and received again.")
    ] = 200_000,
    transactions: Annotated[int, typer.Option(min=1, help="Committed.")] = 500,
    broker: Broker = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Measure what the Kafka client alone costs: no plan can be cheaper."""
    options = Options(records, transactions, broker)

    async def measure(say: Say) -> Shown:
        return shown(await run(options, say))

    present(measure, Files(json_file, markdown_file))


def shown(report: Report) -> Shown:
    """Gives the report as people and programs want it."""
    rows = [(x.what, short(x.cpu_us), short(x.per_s)) for x in report.costs]
    return Shown(
        title="The client alone",
        facts=machine.lines(report.machine),
        sections=[Section("Costs", ("one", "CPU µs", "a second"), rows)],
        document={
            "machine": dict(report.machine),
            "costs": [asdict(each) for each in report.costs],
        },
        verdict=(
            "Records of 336 bytes in batches of 100; transactions with "
            f"{ROWS} rows and {RESULTS} results, one after the other."
        ),
        is_good=True,
    )
