"""The command `python -m benchmarks overload`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks import machine
from benchmarks.overload.figures import OURS, Overload
from benchmarks.overload.run import KINDS, Options, Report, run
from benchmarks.presenting import (
    Broker,
    Files,
    JsonFile,
    Logs,
    MarkdownFile,
    Partitions,
    Say,
    Shown,
    chosen,
    present,
)
from benchmarks.report import settings_line
from benchmarks.tables import Row, Section


def overload(  # noqa: PLR0913 - the options are the interface
    *,
    seconds: Annotated[float, typer.Option(min=3, help="How long.")] = 300.0,
    factor: Annotated[float, typer.Option(min=1.5, help="Times the capacity.")] = 2.0,
    kind: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(KINDS)}; repeatable.")
    ] = None,
    partitions: Partitions = None,
    broker: Broker = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    logs: Logs = None,
) -> None:
    """Offer twice what can be run for five minutes: nothing grows, all ends, soon.

    Exits with 1 when a limit is not kept, with 2 when a plan had another end than
    one success.
    """
    kinds = chosen("kind", kind, KINDS) or list(KINDS)
    options = Options(
        kinds, seconds, factor, partitions=partitions, broker=broker, logs=logs
    )

    async def measure(say: Say) -> Shown:
        return shown(await run(options, say))

    present(measure, Files(json_file, markdown_file))


def shown(report: Report) -> Shown:
    """Gives the report as people and programs want it."""
    options, overloads = report.options, report.overloads
    is_good = all(each.is_met for each in overloads)
    return Shown(
        title="Overload",
        facts=[
            *machine.lines(report.machine),
            *(settings_line(each, kind) for kind, each in report.settings.items()),
            f"{options.factor:g} times the capacity for {options.seconds:g} s",
        ],
        sections=[
            Section(
                "Loads",
                (
                    *("of", "capacity/s", "offered/s", "ended/s", "waited"),
                    *("p99 at the end, s", "drained in s"),
                ),
                [_load(each) for each in overloads],
            ),
            Section(
                "Limits",
                ("of", "what", "found", "limit", "kept"),
                [row for each in overloads for row in _limits(each)],
            ),
            Section(
                "Memory",
                ("of", *(f"{name}, most MB" for name in OURS)),
                [
                    (each.name, *(f"{each.most_mb(name):,.0f}" for name in OURS))
                    for each in overloads
                ],
            ),
        ],
        document={
            "machine": dict(report.machine),
            "settings": {kind: dict(each) for kind, each in report.settings.items()},
            "seconds": options.seconds,
            "factor": options.factor,
            "overloads": [each.to_dict() for each in overloads],
        },
        verdict="Every plan ended in exactly one success."
        + ("" if is_good else " Not every limit was kept."),
        is_good=is_good,
    )


def _load(each: Overload) -> Row:
    numbers = (each.capacity, each.offered, each.rate, each.waiting)
    seconds = (each.longest_ms / 1000, each.drained_s)
    counts = (f"{number:,.0f}" for number in numbers)
    return (each.name, *counts, *(f"{span:,.1f}" for span in seconds))


def _limits(each: Overload) -> list[Row]:
    return [
        (
            each.name,
            what,
            f"{value:.2f}×",
            f"{sign} {limit:.2f}×",
            "yes" if kept else "no",
        )
        for what, value, sign, limit, kept in each.rows()
    ]
