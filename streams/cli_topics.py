"""`planstream topics`: creates and checks."""

import asyncio
import json

import typer

from streams import bootstrap
from streams.broker import quieten
from streams.cli_output import ExitCode, complain, topic_lines
from streams.config import Settings
from streams.topics import Topics


def run(settings: Settings, as_json: bool, *, creating: bool) -> int:
    """Create what is missing, if that is wanted, then check all; return the code."""
    quieten()
    created: tuple[str, ...] = ()
    if creating:
        created = asyncio.run(bootstrap.create(settings))
    mismatches = asyncio.run(bootstrap.check(settings))
    if as_json:
        _print_json(created, mismatches)
    else:
        _print(settings, created, mismatches)
    return ExitCode.TOPICS if mismatches else ExitCode.OK


def _print(
    settings: Settings, created: tuple[str, ...], mismatches: list[bootstrap.Mismatch]
) -> None:
    for name in created:
        typer.echo(f"created {name}")
    complain(*topic_lines(mismatches))
    if not mismatches:
        count = len(Topics.of(settings).all())
        typer.echo(f"all {count} topics fit ({settings.broker})")


def _print_json(created: tuple[str, ...], mismatches: list[bootstrap.Mismatch]) -> None:
    for name in created:
        typer.echo(json.dumps({"topic": name, "created": True}))
    for each in mismatches:
        facts = {
            "topic": each.topic,
            "mismatch": each.aspect,
            "problem": each.problem,
            "remedy": each.remedy,
        }
        typer.echo(json.dumps(facts))
