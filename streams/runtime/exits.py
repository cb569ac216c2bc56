"""Crash, don't limp: a process in doubt says why and ends, to be started again."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any, NoReturn

logger = logging.getLogger("planstream.runtime")

EXIT_IN_DOUBT = 70
"""Exit code of a process that cannot know what is committed (EX_SOFTWARE)."""
EXIT_MISFIT = 78
"""Exit code of a process whose topics or positions do not fit (EX_CONFIG)."""


def die(
    reason: str, exc: BaseException | None = None, code: int = EXIT_IN_DOUBT
) -> NoReturn:
    """End the process at once: recovery, not this process, decides what happened.

    A graceful stop would commit, and committing is just what is in doubt.
    """
    logger.critical("stopping at once: %s", reason, exc_info=exc)
    logging.shutdown()
    os._exit(code)


async def watched(what: str, coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a background task that must never end in an exception.

    Nor in a cancellation that nobody asked for: a task that awaits a future which
    somebody cancels ends like a cancelled one, and would be missed by nobody.
    """
    try:
        await coroutine
    except asyncio.CancelledError as exc:
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            die(f"{what} awaited what was cancelled", exc)
        raise
    except BaseException as exc:  # noqa: BLE001 - whatever it is, the task is dead
        die(f"{what} failed", exc)


def spawn(what: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin a watched task, which is called `what` wherever it is spoken of."""
    return asyncio.create_task(watched(what, coroutine), name=what)
