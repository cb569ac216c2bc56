"""What the measuring knows of an engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.devkit.lines import log_files
from streams.devkit.ports import is_free
from streams.devkit.supervisor import Supervised, Supervisor

LISTENS_WITHIN_S = 60.0
TICK_S = 0.05


@dataclass(frozen=True)
class Running:
    """An engine with its workers, ready for plans."""

    execute: Callable[[str], Awaitable[Any]]
    """Submits a plan of a shape, and waits for its result."""
    groups: Mapping[str, Sequence[int]]
    """Process ids of the `engine` and of the `worker`; the rest is the client."""
    versions: Mapping[str, str]


@asynccontextmanager
async def processes(folder: Path) -> AsyncIterator[Supervisor]:
    """Keeps the processes of an engine, none of which outlives this one."""
    async with Supervisor(sink=log_files(folder / "logs"), give_up_after=1) as found:
        yield found


async def listening(process: Supervised, port: int) -> int:
    """Waits until a process listens on a port of 127.0.0.1; gives its process id.

    Raises:
        RuntimeError: It has ended, or does not listen in time.
    """
    give_up_at = time.monotonic() + LISTENS_WITHIN_S
    while is_free(port):
        if process.exits or time.monotonic() > give_up_at:
            words = "\n".join(process.tail)
            raise RuntimeError(f"{process.name} does not listen; it said:\n{words}")
        await asyncio.sleep(TICK_S)
    return pid_of(process)


def pid_of(process: Supervised) -> int:
    """Gives the process id.

    Raises:
        RuntimeError: The process has ended.
    """
    if process.pid is None:
        raise RuntimeError(f"{process.name} has ended")
    return process.pid
