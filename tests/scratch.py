"""Where tests write: in memory, where there is enough of it.

Brokers wait for the disk at every change of their metadata. On a machine whose disk is
busy a test of a broker's restart took 160 s instead of 14, and 25 s in memory: what is
tested would be the disk.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

MEMORY = Path("/dev/shm")
ENOUGH = 8 * 2**30
"""Bytes. A run with all faults for half an hour leaves less than half of it."""


def write_to_memory() -> None:
    """Have temporary files in memory, also those of processes that are started.

    Whoever has set `TMPDIR` decides; so does a system without such a directory, or one
    that lets no program run from there.
    """
    if "TMPDIR" not in os.environ and _is_fit(MEMORY) and _available() >= ENOUGH:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def _is_fit(directory: Path) -> bool:
    try:
        found = os.statvfs(directory)
    except OSError:
        return False
    has_room = found.f_bavail * found.f_frsize >= ENOUGH
    return has_room and not found.f_flag & os.ST_NOEXEC


def _available() -> int:
    """Bytes of memory that nobody uses, by Linux's own count; 0 where it is unknown."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    return 0
