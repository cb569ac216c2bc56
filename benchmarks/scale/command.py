"""The command `python -m benchmarks scale`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from benchmarks import machine
from benchmarks.presenting import (
    Broker,
    Files,
    JsonFile,
    Logs,
    MarkdownFile,
    Say,
    Shown,
    present,
)
from benchmarks.report import verdict
from benchmarks.scale.figures import ROLES, Layout, Measured, steps_per_s_of_a_core
from benchmarks.scale.run import LAYOUTS, PACE, Options, Report, run
from benchmarks.tables import Row, Section, short


def scale(  # noqa: PLR0913 - the options are the interface
    *,
    processes: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Coordinators, and as many workers; repeatable."),
    ] = None,
    partitions: Annotated[
        list[int] | None, typer.Option(min=1, help="Of each topic; repeatable.")
    ] = None,
    in_flight: Annotated[
        int, typer.Option(min=1, help="Plans under full load.")
    ] = 1000,
    duration: Annotated[
        float, typer.Option(min=0.1, help="Seconds that count.")
    ] = PACE.duration_s,
    broker: Broker = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    logs: Logs = None,
) -> None:
    """Measure what a step costs with more processes and more partitions.

    Exits with 2 when some plan did not end in one success.
    """
    options = Options(
        layouts(processes or (), partitions or ()),
        in_flight,
        replace(PACE, duration_s=duration),
        broker,
        logs,
    )

    async def measure(say: Say) -> Shown:
        return shown(await run(options, say))

    present(measure, Files(json_file, markdown_file))


def layouts(
    processes: list[int] | tuple[int, ...], partitions: list[int] | tuple[int, ...]
) -> list[Layout]:
    """Lists the layouts that were asked for; the usual ones when none were."""
    usual = LAYOUTS
    some = processes or sorted({each.processes for each in usual})
    many = partitions or sorted({each.partitions for each in usual})
    return [Layout(number, count) for count in many for number in some]


def shown(report: Report) -> Shown:
    """Gives the report as people and programs want it."""
    facts = report.machine
    return Shown(
        title="Scale",
        facts=[*machine.lines(facts), report.options.pace.line()],
        sections=[
            Section(
                "Layouts",
                ("coordinators + workers", "plans/s", "p50", "alone p50", "cores"),
                [_speed(each) for each in report.measured],
            ),
            Section(
                "CPU ms a step",
                ("coordinators + workers", *ROLES),
                [_costs(each) for each in report.measured],
            ),
            Section(
                "Steps a second that one core does",
                ("coordinators + workers", *ROLES),
                [_worth(each) for each in report.measured],
            ),
        ],
        document={
            "machine": dict(facts),
            "settings": dict(report.settings),
            "layouts": [each.to_dict() for each in report.measured],
        },
        verdict=verdict({}),
        is_good=True,
    )


def _speed(each: Measured) -> Row:
    full, alone = each.full, each.alone
    return (
        each.layout.name,
        short(full.plans_per_s),
        short(full.latency_ms.p50),
        short(alone.latency_ms.p50),
        f"{each.cores:.2f}",
    )


def _costs(each: Measured) -> Row:
    return (each.layout.name, *(f"{each.cpu_ms(role):.3f}" for role in ROLES))


def _worth(each: Measured) -> Row:
    worth = steps_per_s_of_a_core(each)
    return (each.layout.name, *(short(worth.get(role, 0.0)) for role in ROLES))
