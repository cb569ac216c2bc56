"""`planstream reset`: moves positions that do not fit their logs."""

import json

import typer
from rich.console import Console
from rich.table import Table

from streams.cli_loop import run_async
from streams.cli_output import ExitCode
from streams.config import Settings
from streams.runtime.reset import Move, reset


def run(settings: Settings, *, writing: bool, as_json: bool) -> int:
    """Say which positions do not fit, and move them if that is wanted."""
    return run_async(_run(settings, writing=writing, as_json=as_json))


async def _run(settings: Settings, *, writing: bool, as_json: bool) -> ExitCode:
    moves = await reset(settings, writing=writing)
    if as_json:
        _print_json(moves, writing=writing)
    else:
        _print(moves, writing=writing)
    return ExitCode.NOT_SUCCESS if moves and not writing else ExitCode.OK


def _print(moves: list[Move], *, writing: bool) -> None:
    if not moves:
        typer.echo("every position lies within its log")
        return
    table = Table("partition", "position", "becomes", "why")
    for tp, was, becomes, why in moves:
        stood = "none" if was is None else str(was)
        table.add_row(f"{tp.topic}/{tp.partition}", stood, str(becomes), why)
    Console(highlight=False, markup=False, soft_wrap=True).print(table)
    if writing:
        typer.echo(f"{len(moves)} positions were written")
    else:
        typer.echo("nothing was changed: `planstream reset --write` does it")


def _print_json(moves: list[Move], *, writing: bool) -> None:
    for tp, was, becomes, why in moves:
        facts = {
            "topic": tp.topic,
            "partition": tp.partition,
            "position": was,
            "becomes": becomes,
            "why": why,
            "written": writing,
        }
        typer.echo(json.dumps(facts))
