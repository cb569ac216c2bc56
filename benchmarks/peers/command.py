"""The command `python -m benchmarks peers`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.peers.environments import PEERS
from benchmarks.peers.measuring import Amount
from benchmarks.peers.report import shown
from benchmarks.peers.run import Options, run
from benchmarks.presenting import (
    Files,
    JsonFile,
    MarkdownFile,
    Say,
    Shown,
    present,
)

NAMES = tuple(peer.name.lower() for peer in PEERS)
IN_FLIGHT = (100, 400)


def peers(
    *,
    engine: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(NAMES)}; repeatable. Default: all."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Starts of each engine.")] = 3,
    duration: Annotated[
        float, typer.Option(min=0.5, help="Seconds of a throughput run.")
    ] = 8.0,
    in_flight: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Plans in flight of the throughput runs; repeatable. "
            f"Default: {', '.join(map(str, IN_FLIGHT))}.",
        ),
    ] = None,
    scratch: Annotated[Path, typer.Option(help="Where engines are installed.")] = Path(
        ".cache/peers"
    ),
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Run the same plans on other engines; install them first if need be.

    Exits with 1 when an engine could not be measured.
    """
    chosen = [peer for peer in PEERS if peer.name.lower() in (engine or NAMES)]
    if unknown := set(engine or ()) - set(NAMES):
        raise typer.BadParameter(f"no such engine: {', '.join(sorted(unknown))}")
    many = tuple(in_flight or IN_FLIGHT)
    loads = {"chain-3": many, "fan-10": many, "chain-100": (), "fan-1000": ()}
    amount = Amount(loads, duration / 2, duration, duration / 4)
    options = Options(chosen, amount, rounds, scratch)

    async def measure(say: Say) -> Shown:
        return shown(await run(options, say))

    present(measure, Files(json_file, markdown_file))
