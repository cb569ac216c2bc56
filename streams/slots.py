"""Gives each process of one kind on a host a number that a restart gets again."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

MOST = 1000
_held: list[IO[str]] = []
"""Open files hold their locks; the system lets go of them whatever ends the process."""


def claim_slot(data_dir: Path, group: str) -> str:
    """Take the lowest free slot of a group on this host, until the process ends.

    A process that was killed leaves its slot free, so its successor takes it over,
    and with it the static membership under which nobody else need rebalance.

    Raises:
        OSError: the data directory cannot be written, or every slot is taken.
    """
    directory = data_dir / "slots"
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(MOST):
        file = (directory / f"{group}-{number}.lock").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            _held.append(file)
            return str(number)
    raise OSError(f"all {MOST} slots of {group} in {directory} are taken")
