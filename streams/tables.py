"""The coordinator's table, as Faust knows it: its changelog and its co-partitioning."""

from __future__ import annotations

from typing import Any

import faust

from streams.config import Settings
from streams.topics import Topics

STATE = "state"
"""One Faust table holds plans, steps, deadlines and registry (`agents.tables`)."""


class StateTable(faust.Table):
    """Declares the changelog; rows are written by the partition's fold alone.

    A write through Faust would go to the changelog outside the partition's
    transaction, unfenced, so that a zombie's would be believed at the next recovery.
    """

    def on_key_set(self, *_: Any) -> None:
        """Refuse.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("state is written by the partition's fold only")

    on_key_del = on_key_set


def declare_state(app: faust.App, settings: Settings, topics: Topics) -> StateTable:
    """Declare the state table on the coordinator's app.

    Raises:
        RuntimeError: Faust names the changelog otherwise than the topic we verify.
    """
    table: StateTable = app.Table(
        STATE, partitions=settings.partitions, key_type=bytes, value_type=bytes
    )
    declared = table.changelog_topic.get_topic_name()
    if declared != topics.changelog.name:
        raise RuntimeError(f"Faust writes {declared}, not {topics.changelog.name}")
    return table
