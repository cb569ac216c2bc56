"""Headers by which records of the load are told apart from others."""

from __future__ import annotations

from typing import Any

REASON = "chaos-reason"
"""On what must become a dead letter: with which reason."""
STRAY = "chaos-stray"
"""On what lies on another partition than its plan's: which one it is."""
FORGED = "chaos-forged"
"""On what pretends to come from planstream."""


def header(record: Any, name: str) -> str | None:
    """The text of a record's header, None if it has none."""
    for key, value in record.headers:
        if key == name:
            return str(value.decode())
    return None
