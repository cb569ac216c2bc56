"""Tells whether the folds run as C (docs/adr/0016)."""

from __future__ import annotations

from pathlib import Path

from agents import coordinator


def is_compiled() -> bool:
    """Whether this process folds with compiled modules, not with their sources."""
    return Path(coordinator.__file__).suffix != ".py"
