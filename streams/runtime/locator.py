"""Finds the topic and partition of a record that a coordinator sends."""

from __future__ import annotations

from agents.effects import Outgoing
from agents.partitioner import partition_of
from streams.config import Settings


class Locator:
    """Finds the topic and partition of an outgoing record (R36)."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.prefix
        self._partitions = settings.partitions
        self._step_partitions = settings.step_partitions

    def __call__(self, record: Outgoing, own: int) -> tuple[str, int]:
        """Tell where a record goes that the partition `own` sends."""
        name = self._prefix + record.topic
        if record.topic.startswith("step-requests."):
            return name, partition_of(record.key or b"", self._step_partitions)
        if record.topic == "halts":
            return name, 0
        if record.topic in {"plans", "step-outcomes", "commands"}:
            return name, partition_of(record.key or b"", self._partitions)
        return name, own
