"""The command `python -m benchmarks all`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.peers.baseline import SETTLE_S, Baseline
from benchmarks.presenting import (
    Broker,
    Combined,
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
from benchmarks.scenarios import Pace
from benchmarks.suite.report import shown
from benchmarks.suite.run import PARTS, Options, run
from benchmarks.suite.session import Scale

FULL = Scale(Pace(settle_s=SETTLE_S, warm_up_s=1.5, duration_s=5), rounds=5)
QUICK = Scale(
    Pace(settle_s=2, warm_up_s=0.5, duration_s=1),
    rounds=1,
    open_plans=4_000,
    few_plans=500,
    armed=1_000,
    critical_path_ms=1_000,
    sleep_s=6.0,
)


def everything(  # noqa: PLR0913 - the options are the interface
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Be done in minutes; no real figures.")
    ] = False,
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(PARTS)}; repeatable. Default: all."),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds; medians are reported.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds of each closed loop.")
    ] = None,
    open_plans: Annotated[
        int | None, typer.Option(min=1_000, help="Plans that are open at most.")
    ] = None,
    sleep: Annotated[
        float | None, typer.Option(min=1, help="Seconds that the slow handler takes.")
    ] = None,
    partitions: Annotated[
        int, typer.Option(min=1, help="Of each topic; one for each core and no more.")
    ] = 2,
    peers: Annotated[
        Path, typer.Option(help="Where other engines are installed.")
    ] = Path(".cache/peers"),
    combined: Combined = False,
    broker: Broker = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    logs: Logs = None,
) -> None:
    """Measure everything that has a target, with Restate in the same run.

    Exits with 1 when a plan did not end in one success or a part could not be measured,
    with 2 without figures. Targets that are missed are told, and no failure.
    """
    scale = QUICK if quick else FULL
    parts = tuple(chosen("part", part, PARTS) or PARTS)
    if duration is not None:
        scale = replace(scale, pace=replace(scale.pace, duration_s=duration))
    scale = replace(
        scale,
        rounds=rounds or scale.rounds,
        open_plans=open_plans or scale.open_plans,
        sleep_s=sleep or scale.sleep_s,
    )
    options = Options(
        command=command_line(),
        scale=scale,
        parts=parts,
        baseline=Baseline(peers, quick=quick) if "restate" in parts else None,
        partitions=partitions,
        combined=combined,
        broker=broker,
        logs=logs,
    )

    async def measure(say: Say) -> Shown:
        facts, found = await run(options, say)
        return shown(options, facts, found)

    present(measure, Files(json_file, markdown_file))
