"""The command `python -m benchmarks takeover`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.presenting import (
    Broker,
    Files,
    JsonFile,
    Logs,
    MarkdownFile,
    Say,
    Shown,
    chosen,
    command_line,
    present,
)
from benchmarks.takeover.report import shown
from benchmarks.takeover.run import MODES, Options, run


def takeover(  # noqa: PLR0913 - the options are the interface
    *,
    open_plans: Annotated[
        int, typer.Option(min=0, help="Plans that stay open, over all partitions.")
    ] = 100_000,
    kills: Annotated[int, typer.Option(min=1, help="Kills of each mode.")] = 12,
    mode: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(MODES)}; repeatable. Default: all."),
    ] = None,
    coordinators: Annotated[int, typer.Option(min=2, help="How many of them.")] = 2,
    workers: Annotated[int, typer.Option(min=1, help="How many of them.")] = 2,
    plans_per_s: Annotated[
        float, typer.Option(min=1, help="Ordinary plans meanwhile.")
    ] = 50.0,
    back_after: Annotated[
        float, typer.Option(min=0.1, help="Seconds until a process is restarted.")
    ] = 0.5,
    broker: Broker = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    logs: Logs = None,
) -> None:
    """Kill coordinators and restart everything, under load; measure who waits.

    Exits with 1 when a limit is not kept or a plan did not end in one success, with 2
    without figures.
    """
    options = Options(
        command=command_line(),
        open_plans=open_plans,
        kills=kills,
        coordinators=coordinators,
        workers=workers,
        plans_per_s=plans_per_s,
        back_after_s=back_after,
        only=chosen("mode", mode, MODES),
        broker=broker,
        logs=logs,
    )

    async def measure(say: Say) -> Shown:
        return shown(await run(options, say))

    present(measure, Files(json_file, markdown_file))
