"""What a layout of processes and partitions costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Figures
from benchmarks.system import OURS

ROLES = (*OURS, "broker", "driver")


@dataclass(frozen=True)
class Layout:
    """So many coordinators, as many workers, and the partitions that they share."""

    processes: int
    partitions: int
    combined: bool = False
    """Whether each coordinator is in one process with a worker."""

    @property
    def name(self) -> str:
        """What reports call it."""
        if self.combined:
            return f"{self.processes} combined on {self.partitions}"
        return f"{self.processes} + {self.processes} on {self.partitions}"


@dataclass(frozen=True)
class Measured:
    """One layout under full load, and unloaded."""

    layout: Layout
    full: Figures
    alone: Figures

    def cpu_ms(self, role: str) -> float:
        """CPU ms a step of all processes of a role together, under full load."""
        return sum(
            cost.cpu_ms_per_step
            for name, cost in self.full.processes.items()
            if role_of(name) == role
        )

    @property
    def cores(self) -> float:
        """CPU seconds a second of everything, under full load."""
        return sum(cost.cores for cost in self.full.processes.values())

    def to_dict(self) -> dict[str, Any]:
        """Gives it as JSON wants it."""
        return {
            "processes": self.layout.processes,
            "partitions": self.layout.partitions,
            "combined": self.layout.combined,
            "cpu_ms_per_step": {role: round(self.cpu_ms(role), 4) for role in ROLES},
            "full": self.full.to_dict(),
            "alone": self.alone.to_dict(),
        }


def role_of(process: str) -> str:
    """The role of a process of this name."""
    return process.partition("-")[0]


def steps_per_s_of_a_core(measured: Measured) -> Mapping[str, float]:
    """How many steps a second one core of each role is good for."""
    return {role: 1000 / cost for role in ROLES if (cost := measured.cpu_ms(role)) > 0}
