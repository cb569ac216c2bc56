"""What every command does with what it measured: it is written, printed and judged."""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from benchmarks.tables import Section, markdown_table, table
from streams.broker import quieten
from streams.devkit.jars import JarError
from streams.devkit.kafka import KafkaError
from streams.devkit.supervisor import NotReady
from streams.exceptions import SettingsError

Broker = Annotated[
    str | None, typer.Option(help="A broker, host:port. Default: an embedded one.")
]
Combined = Annotated[
    bool, typer.Option("--combined", help="Coordinator and worker in one process.")
]
Partitions = Annotated[
    int | None, typer.Option(min=1, help="Of each topic. Default: the settings'.")
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the report as JSON.")
]
MarkdownFile = Annotated[
    Path | None, typer.Option("--markdown", help="Write the report as Markdown.")
]
Logs = Annotated[Path | None, typer.Option(help="A folder for the processes' output.")]

WIDTH = 120

Say = Callable[[str], None]


class NothingMeasured(Exception):
    """There are no figures: something that is needed is missing, or got stuck."""


_NOTHING = (NothingMeasured, SettingsError, JarError, KafkaError, NotReady)


@dataclass(frozen=True)
class Shown:
    """A report, as people and programs want it."""

    title: str
    facts: Sequence[str]
    sections: Sequence[Section]
    document: Mapping[str, Any]
    verdict: str
    is_good: bool
    pictures: Mapping[str, str] = field(default_factory=dict)
    """SVG texts by file name; they lie beside the Markdown."""
    appendix: Sequence[Section] = ()
    """Tables that are too long for a screen."""

    def markdown(self) -> str:
        """Writes the report as Markdown."""
        facts = [f"- {fact}" for fact in (*self.facts, self.verdict)]
        sections = (*self.sections, *self.appendix)
        pictures = [f"\n![{name}]({name})" for name in self.pictures]
        tables = [line for each in sections for line in markdown_table(each)]
        return "\n".join([f"# {self.title}", "", *facts, *pictures, *tables, ""])


@dataclass(frozen=True)
class Files:
    """Where a report goes, besides the screen."""

    json: Path | None = None
    markdown: Path | None = None

    def write(self, shown: Shown) -> None:
        """Writes what is wanted."""
        if self.json is not None:
            text = json.dumps(shown.document, indent=2, ensure_ascii=False)
            self.json.write_text(text + "\n", encoding="utf-8")
        if self.markdown is not None:
            self.markdown.write_text(shown.markdown(), encoding="utf-8")
            for name, svg in shown.pictures.items():
                self.markdown.with_name(name).write_text(svg, encoding="utf-8")


def command_line() -> str:
    """What was typed, so that a report says how to repeat it."""
    return shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])


def chosen(what: str, wanted: Sequence[str] | None, known: Iterable[str]) -> list[str]:
    """What was asked for by name; empty when nothing was.

    Raises:
        typer.BadParameter: There is no such thing.
    """
    if unknown := set(wanted or ()) - set(known):
        raise typer.BadParameter(f"no such {what}: {', '.join(sorted(unknown))}")
    return list(wanted or ())


def present(measure: Callable[[Say], Coroutine[Any, Any, Shown]], files: Files) -> None:
    """Measures, writes and prints; the exit code is 1 when something is not good.

    Raises:
        typer.Exit: Always; with 2 when nothing was measured.
    """
    quieten()
    console = Console(highlight=False)
    # A file has no width; half of the columns would be cut.
    console.width = max(console.width, WIDTH)
    say = functools.partial(console.print, markup=False)
    try:
        shown = uvloop.run(measure(say))
    except _NOTHING as error:
        say(f"nothing was measured: {error}")
        raise typer.Exit(2) from None
    files.write(shown)
    for section in shown.sections:
        console.print(table(section))
    say(shown.verdict)
    raise typer.Exit(0 if shown.is_good else 1)
