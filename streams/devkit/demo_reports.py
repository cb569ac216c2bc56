"""The demo's reports: what they say, and writing them while nobody else does."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from streams.devkit.demo_measures import Measure


class ReportLocked(Exception):
    """Another program has the report open for writing."""


@contextmanager
def locked(report: Path) -> Iterator[TextIO]:
    """Open a report for writing, with everybody else who does so shut out.

    Raises:
        ReportLocked: Somebody else has it open.
    """
    with report.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReportLocked(f"another program writes to {report.name}") from None
        yield file


def write(report: Path, text: str) -> None:
    """Write a report.

    Over the old one, which is not replaced: the lock is on the file itself.

    Raises:
        ReportLocked: Somebody else has it open.
    """
    with locked(report) as file:
        file.truncate(0)
        file.write(text)


def text_of(title: str, total: Measure, made_by: str) -> str:
    """Say in Markdown what was measured."""
    return "".join(_lines(title, total, made_by))


def _lines(title: str, total: Measure, made_by: str) -> Iterator[str]:
    python = ".".join(map(str, sys.version_info[:3]))
    counts = (total.files, total.lines, total.functions, total.classes)
    numbers = " | ".join(f"{count:,}" for count in counts)
    yield f"# {title}, in Python {python}\n\n"
    yield "| files | lines | functions | classes | mean complexity |\n"
    yield "| ---: | ---: | ---: | ---: | ---: |\n"
    yield f"| {numbers} | {total.complexity:.2f} |\n\n"
    yield "## The most complex functions\n\n"
    yield "| complexity | function | where |\n| ---: | --- | --- |\n"
    for each in total.worst:
        yield f"| {each.complexity} | `{each.name}` | {each.file}:{each.line} |\n"
    yield f"\n{made_by}\n"
