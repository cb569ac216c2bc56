"""What the system's list of processes says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PROC = Path("/proc")

_others: set[int] = set()


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    return pid not in _living()


def remember_others() -> None:
    """Takes note of the children that are none of the test's: the session's broker."""
    _others.clear()
    _others.update(children())


def children() -> list[int]:
    """The living processes that this one started since `remember_others`."""
    own = [pid for pid, parent in _living().items() if parent == os.getpid()]
    return [pid for pid in own if pid not in _others]


def _living() -> dict[int, int]:
    rows = _from_proc() if (PROC / "stat").exists() else _from_ps()
    return {pid: parent for pid, parent, state in rows if not state.startswith("Z")}


def _from_proc() -> list[tuple[int, int, str]]:
    rows = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (
                    (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                )
            except OSError:
                continue
            rows.append((int(folder.name), int(parent), state))
    return rows


def _from_ps() -> list[tuple[int, int, str]]:
    command = ["ps", "-A", "-o", "pid=,ppid=,stat="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [(int(pid), int(parent), state) for pid, parent, state in rows]
