"""The command `python -m benchmarks soak`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from benchmarks import machine
from benchmarks.presenting import (
    Broker,
    Files,
    JsonFile,
    Logs,
    MarkdownFile,
    Partitions,
    Say,
    Shown,
    present,
)
from benchmarks.report import settings_line, verdict
from benchmarks.soak.figures import Trend, trends
from benchmarks.soak.run import Options, Report, run
from benchmarks.tables import Row, Section


def soak(  # noqa: PLR0913 - the options are the interface
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 60.0,
    plans_per_s: Annotated[float, typer.Option(min=1, help="The load.")] = 200.0,
    interval: Annotated[float, typer.Option(min=1, help="Seconds of a sample.")] = 10.0,
    partitions: Partitions = None,
    broker: Broker = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    logs: Logs = None,
) -> None:
    """Run for an hour under a steady load: memory flat, no drift.

    Exits with 1 when something is not flat or a plan did not end in one success, with 2
    without figures.
    """
    options = Options(
        60 * minutes, plans_per_s, interval, partitions, broker=broker, logs=logs
    )

    async def measure(say: Say) -> Shown:
        return shown(await run(options, say))

    present(measure, Files(json_file, markdown_file))


def shown(report: Report) -> Shown:
    """Gives the report as people and programs want it."""
    options, found = report.options, trends(report.samples)
    columns = ("what", "unit", "first", "last", "an hour", "at most", "flat")
    flat = bool(found) and all(each.is_flat for each in found)
    return Shown(
        title="Soak",
        facts=[
            *machine.lines(report.machine),
            settings_line(report.settings),
            f"{options.plans_per_s:g} plans/s for {options.seconds / 60:g} minutes",
            f"Flat, and without drift: {'yes' if flat else 'no'}",
        ],
        sections=[Section("Trends", columns, [_row(each) for each in found])],
        document={
            "machine": dict(report.machine),
            "settings": dict(report.settings),
            "seconds": options.seconds,
            "plans_per_s": options.plans_per_s,
            "trends": [each.to_dict() for each in found],
            "samples": [asdict(each) for each in report.samples],
            "problems": dict(report.problems),
        },
        verdict=verdict(report.problems),
        is_good=flat and not report.problems,
    )


def _row(trend: Trend) -> Row:
    values = (trend.first, trend.last, trend.per_hour)
    cells = (f"{value:,.1f}" for value in values)
    limit = "any" if trend.limit is None else f"{trend.limit:,.1f}"
    return (trend.what, trend.unit, *cells, limit, "yes" if trend.is_flat else "no")
