"""A planstream process whose wall clock is off: `python -m tests.chaos.skewed`.

By how many milliseconds is in the file that SKEW_FILE names; it may change any time.
Monotonic clocks, which timers and loops use, stay as they are, as on a real machine.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from streams.__main__ import main

VARIABLE = "SKEW_FILE"


def skew_clocks(file: Path) -> None:
    """Add the offset to what this process's wall clocks say from now on."""
    true_ns = time.time_ns

    def skewed_ns() -> int:
        return true_ns() + int(file.read_text() or "0") * 1_000_000

    time.time_ns = skewed_ns
    time.time = lambda: skewed_ns() / 1e9


if __name__ == "__main__":
    skew_clocks(Path(os.environ[VARIABLE]))
    main()
