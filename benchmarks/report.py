"""What was measured, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.figures import Figures
from benchmarks.scenarios import Pace

Row = tuple[str, ...]


class Section(NamedTuple):
    """A table of a report."""

    title: str
    columns: Row
    rows: Sequence[Row]


@dataclass(frozen=True)
class Report:
    """A whole run."""

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    pace: Pace
    figures: Sequence[Figures]
    problems: Mapping[str, int]
    """What went wrong, and how often; empty when every plan had its one success."""

    @property
    def correct(self) -> bool:
        """Whether each plan ended in exactly one successful result."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Gives the report as JSON wants it."""
        return {
            "machine": dict(self.machine),
            "settings": dict(self.settings),
            "pace": asdict(self.pace),
            "correct": self.correct,
            "problems": dict(self.problems),
            "figures": [figures.to_dict() for figures in self.figures],
        }


SPEED = ("shape", "in flight", "plans/s", "steps/s", "p50", "p90", "p99", "max")

SHORT_FROM = 100
"""From here on a decimal would say nothing."""


def speed_rows(figures: Iterable[Figures]) -> list[Row]:
    """Lists throughput and latency."""
    return [_speed_row(each) for each in figures]


def cpu_rows(figures: Iterable[Figures]) -> list[Row]:
    """Lists CPU ms a step by process, and the cores that all used together."""
    return [_cpu_row(each) for each in figures]


def memory_rows(figures: Iterable[Figures]) -> list[Row]:
    """Lists resident memory by process."""
    return [_memory_row(each) for each in figures]


def sections(report: Report) -> list[Section]:
    """Lists the tables of a report."""
    figures = report.figures
    processes = tuple(figures[0].processes) if figures else ()
    where = ("shape", "in flight")
    return [
        Section("Throughput and latency (ms)", SPEED, speed_rows(figures)),
        Section("CPU ms a step", (*where, *processes, "cores"), cpu_rows(figures)),
        Section("Resident memory (MB)", (*where, *processes), memory_rows(figures)),
    ]


def tables(report: Report) -> list[Table]:
    """Makes the tables that are printed at the end."""
    return [table(section) for section in sections(report)]


def markdown(report: Report) -> str:
    """Writes the report as Markdown."""
    machine = report.machine
    packages = ", ".join(
        f"{name} {which}" for name, which in machine["packages"].items()
    )
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    pace = report.pace
    facts = [
        f"- Machine: {machine['cpu']}, Linux {machine['kernel']}",
        f"- All on {machine['cores']} cores and {machine['memory_mb']} MB",
        f"- Software: Python {machine['python']}, {packages}",
        f"- Commit: {machine['commit']}",
        f"- Settings: {settings}",
        f"- Each row: {pace.duration_s:g} s after {pace.warm_up_s:g} s of warm-up",
        f"- Every plan ended in one success: {verdict(report)}",
    ]
    lines = [line for section in sections(report) for line in markdown_table(section)]
    return "\n".join(["# Benchmark", "", *facts, *lines, ""])


def verdict(report: Report) -> str:
    """Says whether every plan had its one success, and what happened otherwise."""
    if report.correct:
        return "yes"
    return "no: " + ", ".join(f"{n} × {what}" for what, n in report.problems.items())


def _speed_row(figures: Figures) -> Row:
    latency = figures.latency_ms
    spans = (latency.p50, latency.p90, latency.p99, latency.max)
    return (
        figures.shape,
        f"{figures.in_flight}",
        _short(figures.plans_per_s),
        _short(figures.steps_per_s),
        *map(_short, spans),
    )


def _short(value: float) -> str:
    """Writes three digits or more: 3.1, 31.4, 314, 3,142."""
    return f"{value:,.1f}" if value < SHORT_FROM else f"{value:,.0f}"


def _cpu_row(figures: Figures) -> Row:
    costs = figures.processes.values()
    cells = (f"{cost.cpu_ms_per_step:.3f}" for cost in costs)
    cores = sum(cost.cores for cost in costs)
    return (figures.shape, f"{figures.in_flight}", *cells, f"{cores:.2f}")


def _memory_row(figures: Figures) -> Row:
    cells = (f"{cost.rss_mb:.0f}" for cost in figures.processes.values())
    return (figures.shape, f"{figures.in_flight}", *cells)


def table(section: Section) -> Table:
    """Makes the table that is printed of a section."""
    made = Table(title=section.title, title_justify="left")
    for number, column in enumerate(section.columns):
        made.add_column(column, justify="right" if number else "left", no_wrap=True)
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
