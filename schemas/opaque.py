"""Opaque JSON: text that planstream carries from producer to handler unread (F12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Opaque:
    """Marks a model field whose value is JSON text, embedded as is in JSON records."""

    objects_only: bool = False


JsonText = Annotated[str, Opaque()]
"""Any JSON value, as text."""
JsonObject = Annotated[str, Opaque(objects_only=True)]
"""A JSON object, as text."""
