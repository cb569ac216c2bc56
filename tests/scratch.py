"""Where tests write: in memory, where there is enough of it.

Brokers wait for the disk at every change of their metadata. On a machine whose disk is
busy a test of a broker's restart took 160 s instead of 14, and 25 s in memory:
otherwise the disk would be what is tested.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
ENOUGH = 2 * 2**30
"""Bytes that are free before anything is written there; a run takes 0.1 GB at most."""
DISK = tempfile.gettempdir()
"""Where it would be otherwise."""
_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Of a container, by the kernel's second and first version."""


def write_to_memory() -> None:
    """Have temporary files in memory, also those of processes that are started.

    Whoever has set `TMPDIR` decides; so does a system without such a directory, or one
    that lets no program run from there.
    """
    if "TMPDIR" not in os.environ and _is_fit(MEMORY) and _available() >= ENOUGH:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


@contextmanager
def kept_if_it_fails(prefix: str, *, large: bool) -> Iterator[Path]:
    """A directory that is removed when all is well, else left on the disk.

    Args:
        prefix: of its name.
        large: whether more is written than memory may have room for.
    """
    where = Path(tempfile.mkdtemp(prefix=prefix, dir=DISK if large else None))
    try:
        yield where
    except BaseException:
        if where.parent != Path(DISK):
            shutil.move(where, DISK)
        raise
    shutil.rmtree(where)


def _is_fit(directory: Path) -> bool:
    try:
        found = os.statvfs(directory)
    except OSError:
        return False
    has_room = found.f_bavail * found.f_frsize >= ENOUGH
    return has_room and not found.f_flag & os.ST_NOEXEC


def _available() -> int:
    """Bytes of memory that may be used: of the machine, or of a container on it."""
    available = psutil.virtual_memory().available
    for limit, used in _LIMITS:
        with suppress(OSError, ValueError):  # there is none, or it is "max"
            left = _number(limit) - _number(used)
            available = min(available, left)
    return available


def _number(name: str) -> int:
    return int((Path("/sys/fs/cgroup") / name).read_text("ascii"))
