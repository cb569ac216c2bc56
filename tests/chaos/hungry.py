"""Handlers that take more memory than there is."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents import StepContext, action

BLOCK = 1 << 20
ROOM_BYTES = 64 * BLOCK
KEPT: list[bytearray] = []


def used_bytes() -> int:
    """The address space that this process has."""
    pages = Path("/proc/self/statm").read_text().split()[0]
    return int(pages) * resource.getpagesize()


def limit() -> None:
    """Leave this process little more memory than it has, from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes() + ROOM_BYTES, hard))


@contextmanager
def limited() -> Iterator[None]:
    """Leave it little more for a while."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def gorge() -> int:
    """Take all the memory that there is, and give it back."""
    taken: list[bytearray] = []
    while True:
        taken.append(bytearray(BLOCK))


@action("gorge")
async def gorge_on_the_loop(step: StepContext, payload: dict[str, Any]) -> int:
    """Run out of memory on the worker's loop."""
    with limited():
        return gorge()


@action("gorge-alone")
def gorge_alone(step: StepContext, payload: dict[str, Any]) -> int:
    """Run out of memory in a process of its own."""
    with limited():
        return gorge()


@action("starve")
async def starve(step: StepContext, payload: dict[str, Any]) -> None:
    """Take all memory for good: nothing in this worker gets any more."""
    limit()
    size = BLOCK
    while size >= 1024:
        try:
            KEPT.append(bytearray(size))
        except MemoryError:
            size //= 2
    raise MemoryError


@action("be-killed")
async def be_killed(step: StepContext, payload: dict[str, Any]) -> None:
    """End as the kernel ends a process when the machine has no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)


@action("be-killed-alone")
def be_killed_alone(step: StepContext, payload: dict[str, Any]) -> None:
    """The same, in a process of its own."""
    os.kill(os.getpid(), signal.SIGKILL)
