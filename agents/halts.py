"""Which executions are wanted no longer."""

from __future__ import annotations

from collections import OrderedDict


class Halts:
    """Remembers the last halted executions, so that late requests are dropped too."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, execution_id: str) -> None:
        """Remembers one, and forgets the oldest past the limit."""
        self._ids[execution_id] = None
        self._ids.move_to_end(execution_id)
        if len(self._ids) > self._limit:
            self._ids.popitem(last=False)

    def __contains__(self, execution_id: object) -> bool:
        return execution_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)
