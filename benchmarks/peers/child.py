"""Measures one engine once, inside that engine's own environment.

`python -m benchmarks.peers.child ENGINE CONFIG FOLDER AMOUNT FILE`, where AMOUNT is the
amount as JSON, and FILE takes what was found. Nothing is imported here that the
environment of another engine has not got.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.measuring import Amount, measure

DONE = "measured"
"""What is printed when all is written."""


async def _measure(engine: str, config: str, folder: Path, amount: Amount) -> object:
    module = importlib.import_module(f"benchmarks.peers.engines.{engine}")
    async with module.running(config, folder) as running:
        found = await measure(running, amount)
    return {"versions": dict(running.versions), **found}


def main(arguments: Sequence[str]) -> None:
    """Measures, and writes what was found."""
    engine, config, folder, amount, file = arguments
    asked = Amount(**json.loads(amount))
    found = asyncio.run(_measure(engine, config, Path(folder), asked))
    Path(file).write_text(json.dumps(found), encoding="utf-8")
    print(DONE, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
