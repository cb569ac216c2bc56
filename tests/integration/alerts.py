"""Error handlers that the broker tests run: each notes whom it was told of."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

from agents import FailureNotice

FILE = "TEST_ALERTS_FILE"
"""The variable that names the file of notes."""


async def tell(notice: FailureNotice) -> None:
    """Do what the plan's correlation context asks for under `alert`."""
    _note(notice, "begun")
    match notice.correlation_context.get("alert"):
        case "fail":
            raise RuntimeError("nobody answers")
        case "once" if notice.attempt == 1:
            raise RuntimeError("try again")
        case "slow":
            await asyncio.sleep(1.5)
        case "hang":
            await asyncio.sleep(3600)
    _note(notice, "told")


def tell_plainly(notice: FailureNotice) -> None:
    """Block for a moment, as plain functions may."""
    time.sleep(0.05)
    _note(notice, "told")


def _note(notice: FailureNotice, what: str) -> None:
    note = {
        "what": what,
        "plan_id": notice.result.plan_id,
        "code": notice.result.error and notice.result.error.error_code,
        "correlation": dict(notice.correlation_context),
        "attempt": notice.attempt,
    }
    with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(note) + "\n")
