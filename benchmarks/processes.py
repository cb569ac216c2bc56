"""What processes use, read from `/proc`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """CPU time so far, and memory now, of a process with its descendants."""

    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True)
class Stat:
    """The entries of `/proc/<pid>/stat` that matter here."""

    pid: int
    parent: int
    cpu_ticks: int
    rss_bytes: int


def parse_stat(text: str) -> Stat:
    """Reads a line of `/proc/<pid>/stat`; a process may be called `) R 1 (`."""
    pid, _, rest = text.partition(" (")
    fields = rest.rpartition(") ")[2].split()
    # proc(5) counts from 1, and `fields` begins with the third entry, the state.
    parent, utime, stime, rss = (int(fields[n - 3]) for n in (4, 14, 15, 24))
    return Stat(int(pid), parent, utime + stime, rss * PAGE_BYTES)


def usages(pids: Mapping[str, int], proc: Path = PROC) -> dict[str, Usage]:
    """Measures processes by name, each with those descendants that have no name.

    Raises:
        ProcessLookupError: one of the processes is gone.
    """
    found = {stat.pid: stat for stat in _stats(proc)}
    children = defaultdict(list)
    for stat in found.values():
        children[stat.parent].append(stat.pid)
    for name, pid in pids.items():
        if pid not in found:
            raise ProcessLookupError(f"the process {name} is gone")
    # The driver has started the others, each by way of a guard.
    others = {*pids.values(), *(found[pid].parent for pid in pids.values())}
    own = {pid: set(children[pid]) - others for pid in found}
    return {name: _usage(pid, found, own) for name, pid in pids.items()}


def _usage(pid: int, found: Mapping[int, Stat], own: Mapping[int, set[int]]) -> Usage:
    tree = [pid]
    for each in tree:  # grows while it is walked through
        tree += own[each]
    return Usage(
        cpu_s=sum(found[each].cpu_ticks for each in tree) / TICKS_PER_S,
        rss_bytes=sum(found[each].rss_bytes for each in tree),
    )


def _stats(proc: Path) -> Iterable[Stat]:
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            yield parse_stat((folder / "stat").read_text(encoding="utf-8"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended in between
