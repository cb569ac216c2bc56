"""The command `python -m benchmarks large`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks import machine
from benchmarks.large.run import (
    LEAST_PLANS,
    SECONDS,
    SUBMISSION_BYTES,
    Measured,
    Options,
    Report,
    run,
)
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
from benchmarks.system import OURS
from benchmarks.tables import Row, Section, short


def large(
    *,
    duration: Annotated[
        float, typer.Option(min=0.1, help="Seconds that each case is repeated.")
    ] = SECONDS,
    partitions: Partitions = None,
    broker: Broker = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    logs: Logs = None,
) -> None:
    """Measure large plans alone: their time, memory, and what they leave on disk.

    Exits with 2 when some plan did not end in one success.
    """
    options = Options(duration, partitions, broker, logs)

    async def measure(say: Say) -> Shown:
        return shown(await run(options, say))

    present(measure, Files(json_file, markdown_file))


def shown(report: Report) -> Shown:
    """Gives the report as people and programs want it."""
    ours = [name for name in OURS if name in report.measured[0].peak_mb]
    return Shown(
        title="Large things",
        facts=[
            *machine.lines(report.machine),
            settings_line(report.settings),
            f"One plan at a time; submissions of {SUBMISSION_BYTES:,} bytes at most",
            f"Each for {report.options.seconds:g} s, and {LEAST_PLANS} plans at least",
        ],
        sections=[
            Section(
                "Large things",
                (
                    *("plan", "plans", "p50, ms", "slowest, ms"),
                    *(f"{name}, most MB" for name in ours),
                    "KB to the broker's disk",
                ),
                [_row(each, ours) for each in report.measured],
            )
        ],
        document={
            "machine": dict(report.machine),
            "settings": dict(report.settings),
            "cases": [each.to_dict() for each in report.measured],
        },
        verdict=verdict({}),
        is_good=True,
    )


def _row(each: Measured, ours: list[str]) -> Row:
    figures, disk_kb = each.figures, each.disk_kb_per_plan
    return (
        each.case.name,
        f"{figures.plans:,}",
        short(figures.latency_ms.p50),
        short(figures.latency_ms.max),
        *(f"{each.peak_mb[name]:,.0f}" for name in ours),
        "–" if disk_kb is None else short(disk_kb),
    )
