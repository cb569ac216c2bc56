"""The command `python -m benchmarks speed`: closed loops alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from benchmarks.presenting import (
    Broker,
    Combined,
    Files,
    JsonFile,
    Logs,
    MarkdownFile,
    Partitions,
    Say,
    Shown,
    present,
)
from benchmarks.run import Options, run
from benchmarks.scenarios import FULL, QUICK, Pace, scenarios

Seconds = Annotated[float | None, typer.Option(min=0.1, help="Seconds that count.")]


def speed(  # noqa: PLR0913 - the options are the interface
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
    settle: Annotated[
        float | None, typer.Option(min=0, help="Seconds of load before everything.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measure all so often.")] = 1,
    partitions: Partitions = None,
    combined: Combined = False,
    broker: Broker = None,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds without a result: stuck.")
    ] = 60.0,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    logs: Logs = None,
) -> None:
    """Measure throughput and latency of plans whose steps do nothing.

    Exits with 1 when some plan did not end in one success, with 2 without figures.
    """
    given = {"duration_s": duration, "warm_up_s": warm_up, "settle_s": settle}
    pace = _pace(QUICK if quick else FULL, given)
    try:
        chosen = scenarios(pace, shape or (), in_flight or (), rounds, quick=quick)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    options = Options(chosen, pace, partitions, broker, logs, patience, combined)

    async def measure(say: Say) -> Shown:
        return (await run(options, say)).shown()

    present(measure, Files(json_file, markdown_file))


def _pace(pace: Pace, given: dict[str, float | None]) -> Pace:
    return replace(
        pace, **{name: each for name, each in given.items() if each is not None}
    )
