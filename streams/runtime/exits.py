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
    """Run a background task that must never end in an exception."""
    try:
        await coroutine
    except asyncio.CancelledError:
        raise
    except BaseException as exc:  # noqa: BLE001 - whatever it is, the task is dead
        die(f"{what} failed", exc)
