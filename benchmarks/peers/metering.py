"""CPU and memory of groups of processes, and of all others together."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence

import psutil

from benchmarks.processes import family

EVERY_S = 1.0
OTHERS = "others"


def cpu_s(groups: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Counts the CPU seconds of each group, and of everything else on the machine."""
    found = {name: sum(map(_cpu_s, family(pids))) for name, pids in groups.items()}
    machine = psutil.cpu_times()
    busy = machine.user + machine.nice + machine.system
    return {**found, OTHERS: busy - sum(found.values())}


def memory_mb(pids: Iterable[int]) -> float:
    """Counts memory; pages that processes share count once (PSS)."""
    return sum(map(_pss_bytes, family(pids))) / 2**20


class Peak:
    """The most memory that each group had; a context manager."""

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self.mb = dict.fromkeys(groups, 0.0)
        self._groups = groups
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            for name, pids in self._groups.items():
                self.mb[name] = max(self.mb[name], memory_mb(pids))
            if self._over.wait(EVERY_S):
                return


def _cpu_s(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        # Children that have ended count too; this process's own are the engine's.
        children = 0.0
        if process.pid != os.getpid():
            children = times.children_user + times.children_system
        return float(times.user + times.system + children)
    return 0.0


def _pss_bytes(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    return 0
