"""What processes use, as the operating system counts it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """What a process has used so far, with its descendants, and its memory now."""

    cpu_s: float
    rss_bytes: int
    written_bytes: int = 0
    """To disks; pages that are written to twice within seconds count once."""

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
            written += process.io_counters().write_bytes
    return Usage(cpu_s, rss_bytes, written)
