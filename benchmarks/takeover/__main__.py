"""The command line: `python -m benchmarks.takeover`."""

from __future__ import annotations

import functools
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from benchmarks.takeover.figures import Report
from benchmarks.takeover.report import markdown, tables, verdict
from benchmarks.takeover.run import MODES, Options, run
from benchmarks.takeover.waiting import Stalled
from streams.broker import quieten
from streams.devkit.jars import JarError
from streams.devkit.kafka import KafkaError
from streams.devkit.supervisor import NotReady
from streams.exceptions import SettingsError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
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
    broker: Annotated[
        str | None, typer.Option(help="A broker, host:port. Default: an embedded one.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report as JSON.")
    ] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Write the report as Markdown.")
    ] = None,
    logs: Annotated[
        Path | None, typer.Option(help="A folder for the processes' output.")
    ] = None,
) -> None:
    """Kill coordinators and restart everything, under load; measure who waits.

    Exits with 1 when a limit is not kept or a plan did not end in one success, with 2
    without figures.
    """
    if unknown := set(mode or ()) - set(MODES):
        raise typer.BadParameter(f"no such mode: {', '.join(sorted(unknown))}")
    options = Options(
        command=shlex.join(["python", "-m", "benchmarks.takeover", *sys.argv[1:]]),
        open_plans=open_plans,
        kills=kills,
        coordinators=coordinators,
        workers=workers,
        plans_per_s=plans_per_s,
        back_after_s=back_after,
        only=mode or (),
        broker=broker,
        logs=logs,
    )
    quieten()
    console = Console(highlight=False)
    say = functools.partial(console.print, markup=False)
    try:
        report = uvloop.run(run(options, say))
    except (SettingsError, JarError, KafkaError, NotReady, Stalled) as error:
        console.print(f"nothing was measured: {error}", markup=False)
        raise typer.Exit(2) from None
    _write(report, json_file, markdown_file)
    for table in tables(report):
        console.print(table)
    console.print(f"every plan ended in one success: {verdict(report)}", markup=False)
    raise typer.Exit(0 if report.is_met else 1)


def _write(report: Report, json_file: Path | None, markdown_file: Path | None) -> None:
    if json_file is not None:
        text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
        json_file.write_text(text + "\n", encoding="utf-8")
    if markdown_file is not None:
        markdown_file.write_text(markdown(report), encoding="utf-8")


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.takeover")
