"""What processes use, as the operating system counts it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

WRITES_ARE_COUNTED = hasattr(psutil.Process, "io_counters")
"""Not on every system."""


@dataclass(frozen=True)
class Usage:
    """What a process has used so far, with its descendants, and its memory now."""

    cpu_s: float
    rss_bytes: int
    written_bytes: int | None = None
    """To disks, where the system tells; what stays in memory is not among it, and pages
    that are written to twice within seconds count once."""

    @property
    def rss_mb(self) -> float:
        """The memory in MiB, as reports show it."""
        return round(self.rss_bytes / 2**20, 1)


def usages(pids: Mapping[str, int]) -> dict[str, Usage]:
    """Measures processes by name, each with its descendants; this one alone.

    Raises:
        ProcessLookupError: one of the processes is gone.
    """
    return {name: _usage(name, pid) for name, pid in pids.items()}


def family(pids: Iterable[int]) -> Iterator[psutil.Process]:
    """Finds processes with their descendants; this one alone, it started the others."""
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            yield process
            if pid != os.getpid():
                yield from process.children(recursive=True)


def _usage(name: str, pid: int) -> Usage:
    if not psutil.pid_exists(pid):
        raise ProcessLookupError(f"the process {name} is gone")
    cpu_s, rss_bytes, written = 0.0, 0, 0
    for process in family([pid]):
        with contextlib.suppress(psutil.Error):  # ended in between
            times = process.cpu_times()
            cpu_s += times.user + times.system
            rss_bytes += process.memory_info().rss
            if WRITES_ARE_COUNTED:
                written += process.io_counters().write_bytes
    return Usage(cpu_s, rss_bytes, written if WRITES_ARE_COUNTED else None)


class Peaks:
    """The most memory that processes have had from some time on.

    The system remembers it, so that nothing is missed, and nobody has to look. Each
    process counts with the descendants that it has now.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        """Begins to count."""
        self._pids = dict(pids)
        for process in family(self._pids.values()):
            with contextlib.suppress(OSError):  # ended in between
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")

    def mb(self) -> dict[str, float]:
        """Gives the most so far, in MiB, by process."""
        return {
            name: round(sum(map(_peak_kb, family([pid]))) / 1024, 1)
            for name, pid in self._pids.items()
        }


def _peak_kb(process: psutil.Process) -> int:
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
