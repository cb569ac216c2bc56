"""What the runtime asks of a process that consumes partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from faust.types import TP


class Host(Protocol):
    """Owns what is assigned: a coordinator's partitions or a worker's intake.

    The order of calls in one generation is `assign`, `start`, then `deliver` for
    each chunk, and `quiesce` before the next generation or the end.
    """

    async def assign(self, assigned: frozenset[TP], generation: int) -> dict[TP, int]:
        """Take over these source partitions; return the offsets to read on from."""

    def start(self, generation: int, offsets: Mapping[TP, int]) -> None:
        """Begin to process: the consumer stands at `offsets`, the flow resumes."""

    def deliver(self, generation: int, tp: TP, records: list[Any]) -> None:
        """Take a chunk of consecutive records of one partition."""

    async def on_lost_position(self, tp: TP, position: int) -> None:
        """End the process: the log of a partition does not reach its position."""

    async def quiesce(self) -> None:
        """Finish what was delivered; nothing is delivered until the next start."""

    async def close(self) -> None:
        """Give everything back: the process is about to leave."""
