"""What a closed loop measured, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import machine
from benchmarks.figures import Figures
from benchmarks.presenting import Shown
from benchmarks.scenarios import Pace
from benchmarks.tables import Row, Section, short


@dataclass(frozen=True)
class Report:
    """A whole run."""

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    pace: Pace
    figures: Sequence[Figures]
    problems: Mapping[str, int]
    """What went wrong, and how often; empty when every plan had its one success."""

    def to_dict(self) -> dict[str, Any]:
        """Gives the report as JSON wants it."""
        return {
            "machine": dict(self.machine),
            "settings": dict(self.settings),
            "pace": asdict(self.pace),
            "correct": not self.problems,
            "problems": dict(self.problems),
            "figures": [figures.to_dict() for figures in self.figures],
        }

    def shown(self) -> Shown:
        """Gives the report as people want it."""
        return Shown(
            title="Benchmark",
            facts=[
                *machine.lines(self.machine),
                settings_line(self.settings),
                self.pace.line(),
            ],
            sections=sections(self.figures),
            document=self.to_dict(),
            verdict=verdict(self.problems),
            is_good=not self.problems,
        )


VERDICT = "ended in one success"

SPEED = ("shape", "in flight", "plans/s", "steps/s", "p50", "p90", "p99", "max")


def sections(figures: Sequence[Figures]) -> list[Section]:
    """Lists the tables of a closed loop."""
    processes = tuple(figures[0].processes) if figures else ()
    where = ("shape", "in flight")
    return [
        Section("Throughput and latency (ms)", SPEED, speed_rows(figures)),
        Section("CPU ms a step", (*where, *processes, "cores"), cpu_rows(figures)),
        Section("Resident memory (MB)", (*where, *processes), memory_rows(figures)),
    ]


def speed_rows(figures: Iterable[Figures]) -> list[Row]:
    """Lists throughput and latency."""
    return [_speed_row(each) for each in figures]


def cpu_rows(figures: Iterable[Figures]) -> list[Row]:
    """Lists CPU ms a step by process, and the cores that all used together."""
    return [_cpu_row(each) for each in figures]


def memory_rows(figures: Iterable[Figures]) -> list[Row]:
    """Lists resident memory by process."""
    return [_memory_row(each) for each in figures]


def settings_line(settings: Mapping[str, Any], part: str = "") -> str:
    """Says under which settings something, or a part of it, was measured."""
    told = ", ".join(f"{name} {each}" for name, each in settings.items())
    return f"Settings, {part}: {told}" if part else f"Settings: {told}"


def verdict(problems: Mapping[str, int], plan: str = "plan") -> str:
    """Says whether every plan had its one success, and what happened otherwise."""
    found = ", ".join(f"{count} × {what}" for what, count in problems.items())
    return f"Every {plan} {VERDICT}: {'no: ' + found if found else 'yes'}"


def _speed_row(figures: Figures) -> Row:
    latency = figures.latency_ms
    spans = (latency.p50, latency.p90, latency.p99, latency.max)
    return (
        figures.shape,
        f"{figures.in_flight}",
        short(figures.plans_per_s),
        short(figures.steps_per_s),
        *map(short, spans),
    )


def _cpu_row(figures: Figures) -> Row:
    costs = figures.processes.values()
    cells = (f"{cost.cpu_ms_per_step:.3f}" for cost in costs)
    cores = sum(cost.cores for cost in costs)
    return (figures.shape, f"{figures.in_flight}", *cells, f"{cores:.2f}")


def _memory_row(figures: Figures) -> Row:
    cells = (f"{cost.rss_mb:.0f}" for cost in figures.processes.values())
    return (figures.shape, f"{figures.in_flight}", *cells)
