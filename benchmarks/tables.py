"""Tables, to be printed and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

Row = tuple[str, ...]

SHORT_FROM = 100
"""From here on a decimal would say nothing."""
WIDE = 40
"""Cells with more characters are sentences, and may be broken."""


class Section(NamedTuple):
    """A table of a report."""

    title: str
    columns: Row
    rows: Sequence[Row]


def short(value: float) -> str:
    """Writes three digits or more: 3.1, 31.4, 314, 3,142."""
    return f"{value:,.1f}" if value < SHORT_FROM else f"{value:,.0f}"


def table(section: Section) -> Table:
    """Makes the table that is printed of a section."""
    made = Table(title=section.title, title_justify="left")
    for number, column in enumerate(section.columns):
        wide = any(len(row[number]) > WIDE for row in section.rows)
        is_figure = number > 0 and not wide
        made.add_column(
            column, justify="right" if is_figure else "left", no_wrap=not wide
        )
    for row in section.rows:
        made.add_row(*row)
    return made


def markdown_table(section: Section) -> list[str]:
    """Writes a section as Markdown, line by line."""
    line = "| --- |" + " ---: |" * (len(section.columns) - 1)
    rows = map(_markdown_row, section.rows)
    return ["", f"## {section.title}", "", _markdown_row(section.columns), line, *rows]


def _markdown_row(cells: Row) -> str:
    return "| " + " | ".join(cells) + " |"
