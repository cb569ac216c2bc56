"""The command line: `python -m benchmarks`."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from benchmarks.report import Report, markdown, tables, verdict
from benchmarks.run import Options, run
from benchmarks.scenarios import FULL, QUICK, Pace, scenarios
from streams.broker import quieten
from streams.devkit.jars import JarError
from streams.devkit.kafka import KafkaError
from streams.devkit.supervisor import NotReady
from streams.exceptions import SettingsError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Seconds = Annotated[float | None, typer.Option(min=0.1, help="Seconds that count.")]


@app.command()
def benchmarks(  # noqa: PLR0913 - the options are the interface
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Be done in a minute.")
    ] = False,
    shape: Annotated[
        list[str] | None,
        typer.Option(help="chain-N or fan-N; repeatable. Default: the usual four."),
    ] = None,
    in_flight: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Plans in flight, 1 is unloaded; repeatable."),
    ] = None,
    duration: Seconds = None,
    warm_up: Annotated[
        float | None, typer.Option(min=0, help="Seconds that do not count.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measure all so often.")] = 1,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Default: the settings'.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="A broker, host:port. Default: an embedded one.")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds without a result: stuck.")
    ] = 60.0,
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
    """Measure planstream on this machine, with broker and load generator.

    Exits with 1 when some plan did not end in one success, with 2 without figures.
    """
    pace = _pace(QUICK if quick else FULL, duration, warm_up)
    try:
        chosen = scenarios(pace, shape or (), in_flight or (), rounds, quick=quick)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    quieten()
    console = Console(highlight=False)
    progress = functools.partial(console.print, markup=False)
    options = Options(chosen, pace, partitions, broker, logs, patience)
    try:
        report = uvloop.run(run(options, progress))
    except (SettingsError, JarError, KafkaError, NotReady) as error:
        console.print(f"nothing was measured: {error}", markup=False)
        raise typer.Exit(2) from None
    _write(report, json_file, markdown_file)
    for table in tables(report):
        console.print(table)
    console.print(f"every plan ended in one success: {verdict(report)}", markup=False)
    raise typer.Exit(0 if report.correct else 1)


def _pace(pace: Pace, duration: float | None, warm_up: float | None) -> Pace:
    if duration is not None:
        pace = replace(pace, duration_s=duration)
    if warm_up is not None:
        pace = replace(pace, warm_up_s=warm_up)
    return pace


def _write(report: Report, json_file: Path | None, markdown_file: Path | None) -> None:
    if json_file is not None:
        text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
        json_file.write_text(text + "\n", encoding="utf-8")
    if markdown_file is not None:
        markdown_file.write_text(markdown(report), encoding="utf-8")


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
