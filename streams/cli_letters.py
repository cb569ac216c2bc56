"""`planstream rejected`: lists, shows and replays dead letters."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.table import Table

from schemas.codec import DecodeError, decode, to_json
from schemas.context import PlanSubmission
from schemas.results import PlanResult
from schemas.steps import StepRequest
from streams.bootstrap import require
from streams.cli_loop import run_async
from streams.cli_output import ExitCode, complain
from streams.cli_printing import one_line
from streams.cli_watch import instant
from streams.config import Settings
from streams.letters import Choice, Letter, Place, fetch, scan
from streams.replay import Obstacle, Replayer, futile, obstacle, replaying
from streams.results import Rejected
from streams.submissions import now_ms
from streams.topics import Topics

SHOWN_BYTES = 2_000
"""What is shown of a value that cannot be read."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What to replay, and how."""

    choice: Choice
    options: frozenset[str]
    """Those of the options that lift obstacles that were given."""
    doing: bool
    as_json: bool


def choose(
    settings: Settings,
    addresses: Sequence[str],
    reason: str | None,
    source: str | None,
    since: str | None,
) -> Choice:
    """Make the choice that the options describe.

    Raises:
        SettingsError: An address, or the time, is none.
    """
    places = frozenset(Place.of(each, settings) for each in addresses)
    if source is not None:
        source = settings.prefix + source.removeprefix(settings.prefix)
    return Choice(places, reason, source, instant(since, now_ms()))


def list_letters(settings: Settings, choice: Choice, *, as_json: bool) -> int:
    """Print letters; return the exit code."""
    return run_async(_list(settings, choice, as_json=as_json))


def show_letter(settings: Settings, address: str) -> int:
    """Print one letter; return the exit code."""
    return run_async(_show(settings, Place.of(address, settings)))


def replay_letters(settings: Settings, how: Replay) -> int:
    """Replay letters, or say what would be; return the exit code."""
    return run_async(_replay(settings, how))


async def _list(settings: Settings, choice: Choice, *, as_json: bool) -> ExitCode:
    await _require(settings)
    table = Table(
        "letter", "when", "reason", "source", "plan", "bytes", "replayed", "detail"
    )
    for letter in await scan(settings, choice):
        facts = _facts(letter, settings)
        if as_json:
            typer.echo(json.dumps(facts, ensure_ascii=False))
        else:
            when = datetime.fromtimestamp(letter.facts.timestamp / 1000, tz=UTC)
            facts["timestamp"] = f"{when:%Y-%m-%d %H:%M:%S}"
            table.add_row(*[one_line(str(each)) for each in facts.values()])
    if not as_json:
        _print_table(table)
    return ExitCode.OK


def _print_table(table: Table) -> None:
    if table.row_count:
        Console(highlight=False, markup=False, soft_wrap=True).print(table)
    else:
        typer.echo("no dead letters")


def _facts(letter: Letter, settings: Settings) -> dict[str, object]:
    return {
        "letter": letter.place.short(settings.prefix),
        "timestamp": letter.facts.timestamp,
        "reason": letter.facts.reason,
        "source": letter.source.short(settings.prefix),
        "plan_id": letter.plan_id,
        "bytes": letter.size_bytes,
        "replays": letter.replays,
        "detail": letter.facts.detail,
    }


async def _show(settings: Settings, place: Place) -> ExitCode:
    await _require(settings)
    async for letter in fetch(settings, [place]):
        for name, value in letter.headers:
            typer.echo(f"{one_line(name)}: {_escaped(value)}")
        typer.echo(f"key: {_escaped(letter.key)}")
        typer.echo(f"value ({len(letter.value or b'')} bytes):")
        typer.echo(_readable(letter.value))
        return ExitCode.OK
    complain(f"there is no dead letter {place.short(settings.prefix)}")
    return ExitCode.NOT_SUCCESS


def _readable(value: bytes | None) -> str:
    """Write a value as JSON if it is a record of ours, else its beginning."""
    for model in (PlanSubmission, PlanResult, StepRequest):
        try:
            return to_json(decode(value, model), pretty=True)
        except DecodeError:
            continue
    return _escaped(value)


def _escaped(value: bytes | None) -> str:
    """Write bytes on one line: as text with escapes, or else in hex."""
    if value is None:
        return "(none)"
    start, more = value[:SHOWN_BYTES], len(value) > SHOWN_BYTES
    text = start.decode("utf-8", "replace" if more else "backslashreplace")
    if "\x00" in text or "\\x" in text:
        shown = start.hex(" ")
    else:
        shown = text.encode("unicode_escape").decode()
    return f"{shown} …" if more else shown


async def _replay(settings: Settings, how: Replay) -> ExitCode:
    await _require(settings)
    if not how.doing:
        return await _go_through(settings, how, None)
    async with replaying(settings) as replayer:
        return await _go_through(settings, how, replayer)


async def _go_through(
    settings: Settings, how: Replay, replayer: Replayer | None
) -> ExitCode:
    letters = {each.place: each for each in await scan(settings, how.choice)}
    held = 0
    for place in how.choice.places - letters.keys():
        held += _report(how, place.short(settings.prefix), Obstacle("there is none"))
    candidates = []
    for letter in letters.values():
        found = obstacle(letter, settings)
        if _is_lifted(found, how):
            candidates.append(letter.place)
        else:
            held += _report(how, letter.place.short(settings.prefix), found)
    async for whole in fetch(settings, candidates):
        letter = letters[Place(whole.topic, whole.partition, whole.offset)]
        held += await _one(settings, how, replayer, letter, whole)
    return ExitCode.NOT_SUCCESS if held else ExitCode.OK


async def _one(
    settings: Settings,
    how: Replay,
    replayer: Replayer | None,
    letter: Letter,
    whole: Rejected,
) -> int:
    """Replay one if nothing stands against it; give how many were held back."""
    name, found = letter.place.short(settings.prefix), futile(whole, settings)
    if not _is_lifted(found, how):
        return _report(how, name, found)
    if replayer is not None:
        await replayer.replay(whole, letter.source.partition)
    return _report(how, name, None)


def _is_lifted(found: Obstacle | None, how: Replay) -> bool:
    return found is None or found.option in how.options


def _report(how: Replay, name: str, found: Obstacle | None) -> int:
    """Say what became of a letter; give 1 if it is held back."""
    what = "replayed" if how.doing else "would be replayed (--yes does it)"
    if found is not None:
        hint = f" ({found.option} does it all the same)" if found.option else ""
        what = f"held back: {one_line(found.why)}{hint}"
    if how.as_json:
        replayed = found is None and how.doing
        facts = {"letter": name, "replayed": replayed, "why": found and found.why}
        typer.echo(json.dumps(facts, ensure_ascii=False))
    else:
        typer.echo(f"{name}  {what}")
    return int(found is not None)


async def _require(settings: Settings) -> None:
    topics = Topics.of(settings)
    needed = (topics.plans, topics.rejected, topics.failure_rejected)
    await require(settings, needed)
