"""Tells where tasks stand: what a process that must end has been waiting for."""

from __future__ import annotations

import asyncio
from typing import Any

DEEPEST = 40


def where_tasks_stand(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Give a line for each unfinished task: its name, and what it awaits in turn.

    May be called from another thread: a loop that is blocked can be asked, too.
    """
    tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
    return sorted(f"{task.get_name()}: {_chain(task.get_coro())}" for task in tasks)


def _chain(awaited: Any) -> str:
    """Name each coroutine that is awaited by the one before it, with its line."""
    names: list[str] = []
    while awaited is not None and len(names) < DEEPEST:
        frame = getattr(awaited, "cr_frame", None)
        if frame is None:
            names.append(type(awaited).__name__)
            break
        names.append(f"{awaited.__name__}:{frame.f_lineno}")
        awaited = awaited.cr_await
    return " > ".join(names)
