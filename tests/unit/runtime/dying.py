"""Ends a task as the end of its whole process would."""

from __future__ import annotations

import asyncio
from typing import NoReturn


class Died(asyncio.CancelledError):
    """The process has died."""


def end_this_task() -> NoReturn:
    """Cancel the running task, in the stead of `die`, which ends it at once."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    raise Died
