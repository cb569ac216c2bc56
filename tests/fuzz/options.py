"""How much is thrown, and what it is drawn from: read from the environment."""

from __future__ import annotations

import os
from typing import NamedTuple, Self

RECORDS = 10_000
"""Of a run that nobody asked more of: half a minute."""


class Options(NamedTuple):
    """What `make fuzz` was told."""

    records: int
    seed: int

    @classmethod
    def read(cls) -> Self:
        """Read the variables that the Makefile sets; an empty one counts as not set."""
        records = os.environ.get("PLANSTREAM_FUZZ_RECORDS") or RECORDS
        return cls(int(records), int(os.environ.get("PLANSTREAM_FUZZ_SEED") or 1))

    @property
    def command(self) -> str:
        """What throws the same records again."""
        return f"make fuzz RECORDS={self.records} SEED={self.seed}"
