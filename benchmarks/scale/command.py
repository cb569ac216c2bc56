"""The command `python -m benchmarks scale`."""

from __future__ import annotations

from collections.abc import Sequence
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
    combined: Annotated[
        bool | None,
        typer.Option(help="Coordinator and worker in one process; default: both ways."),
    ] = None,
    in_flight: Annotated[
        int, typer.Option(min=1, help="Plans under full load.")
    ] = 1000,
    duration: Annotated[
        float, typer.Option(min=0.1, help="Seconds that count.")
    ] = PACE.duration_s,
    pinned: Annotated[
        bool,
        typer.Option(
            "--pinned",
            help="Coordinators on the last core, everything else on the others.",
        ),
    ] = False,
    broker: Broker = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    logs: Logs = None,
) -> None:
    """Measure what a step costs with more processes and more partitions.

    Exits with 2 when some plan did not end in one success.
    """
    if pinned and combined:
        raise typer.BadParameter("--pinned tells coordinators and workers apart")
    options = Options(
        layouts(processes or (), partitions or (), False if pinned else combined),
        in_flight,
        pinned,
        replace(PACE, duration_s=duration),
        broker,
        logs,
    )

    async def measure(say: Say) -> Shown:
        return shown(await run(options, say))

    present(measure, Files(json_file, markdown_file))


def layouts(
    processes: Sequence[int], partitions: Sequence[int], combined: bool | None = None
) -> list[Layout]:
    """Lists the layouts that were asked for; the usual ones when none were."""
    usual = LAYOUTS
    some = processes or sorted({each.processes for each in usual})
    many = partitions or sorted({each.partitions for each in usual})
    ways = (False, True) if combined is None else (combined,)
    return [
        Layout(number, count, way) for count in many for way in ways for number in some
    ]


def shown(report: Report) -> Shown:
    """Gives the report as people and programs want it."""
    facts = report.machine
    return Shown(
        title="Scale",
        facts=[
            *machine.lines(facts),
            report.options.pace.line(),
            *(["Coordinators have the last core"] if report.options.pinned else []),
        ],
        sections=[
            Section(
                "Layouts",
                ("coordinators + workers", "plans/s", "p50", "alone p50", "cores"),
                [_speed(each) for each in report.measured],
            ),
            Section(
                "CPU ms a step, and KB a step to the broker's disk",
                ("coordinators + workers", *ROLES, "KB"),
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
            "pinned": report.options.pinned,
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
    costs = [each.cpu_ms(role) for role in ROLES]
    cells = (f"{cost:.3f}" if cost else "–" for cost in costs)
    disk = each.full.disk_kb_per_step
    return (each.layout.name, *cells, "–" if disk is None else f"{disk:.2f}")


def _worth(each: Measured) -> Row:
    worth = steps_per_s_of_a_core(each)
    cells = (short(worth[role]) if role in worth else "–" for role in ROLES)
    return (each.layout.name, *cells)
