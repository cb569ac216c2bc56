"""A partition that a coordinator owns."""

from __future__ import annotations

from dataclasses import dataclass

from faust.types import TP

from agents.coordinator import PartitionState
from streams.runtime.delivery import ChunkConsumer, reached
from streams.runtime.host import LogEnds
from streams.runtime.partition import PartitionTask
from streams.runtime.progress import Look
from streams.runtime.writer import Writer


@dataclass(slots=True)
class Owned:
    """A partition that this process owns, and what fences and commits it."""

    writer: Writer
    state: PartitionState
    task: PartitionTask

    async def close(self) -> None:
        """Commit what is folded and let the partition go."""
        await self.task.quiesce()
        await self.writer.producer.stop()

    def looks(self, ends: LogEnds, consumer: ChunkConsumer) -> list[Look]:
        """Look at its sources, and at its commits."""
        task, commit, number = self.task, self.task.commit, self.state.partition
        age_s = commit.in_flight_s()
        looks = []
        for topic, folded in task.next.items():
            tp = TP(topic, number)
            at = reached(consumer, tp, folded)
            looks.append(ends.look(tp, at, task.excuse(topic), commit_age_s=age_s))
        excuse = "a transaction is in flight" if age_s else None
        name = f"the commits of partition {number}"
        return [*looks, Look(name, commit.backlog, commit.commits, excuse)]
