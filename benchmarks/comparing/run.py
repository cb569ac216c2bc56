"""A comparison: base, candidate, base, candidate, and so on."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.comparing.pairs import Pair, compare, measures
from benchmarks.comparing.trees import Tree, checked_out
from benchmarks.presenting import NothingMeasured, Say


@dataclass(frozen=True)
class Options:
    """What is compared, and how."""

    base: str
    candidate: str
    rounds: int
    speed: Sequence[str]
    """Arguments for the command `speed`."""


@dataclass(frozen=True)
class Report:
    """A whole comparison."""

    machine: Mapping[str, Any]
    commits: tuple[str, str]
    rounds: int
    pairs: Sequence[Pair]
    raw: Sequence[Sequence[Mapping[str, Any]]]
    """The reports of `speed`, of each commit."""
    wrong: int
    """Runs in which a plan did not end in one success."""


async def run(options: Options, say: Say) -> Report:
    """Measures both commits by turns, each time with a broker of its own."""
    facts = machine.facts()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        trees = [
            stack.enter_context(checked_out(commit, folder / name))
            for name, commit in (("a", options.base), ("b", options.candidate))
        ]
        raw: list[list[Mapping[str, Any]]] = [[], []]
        for number in range(options.rounds):
            for tree, found in zip(trees, raw, strict=True):
                say(f"round {number + 1} of {options.rounds}: {tree.commit}")
                found.append(await _speed(tree, options.speed, folder / "speed.json"))
    base, candidate = ([measures(each) for each in found] for found in raw)
    return Report(
        machine=facts,
        commits=(trees[0].commit, trees[1].commit),
        rounds=options.rounds,
        pairs=compare(base, candidate),
        raw=raw,
        wrong=sum(not each["correct"] for found in raw for each in found),
    )


async def _speed(tree: Tree, arguments: Sequence[str], file: Path) -> Any:
    process = await asyncio.create_subprocess_exec(
        *(str(tree.python), "-m", "benchmarks", "speed", *arguments),
        *("--json", str(file)),
        cwd=tree.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return _taken(file, f"{tree.commit}: {said.decode()[-2000:]}")


def _taken(file: Path, said: str) -> Any:
    """Reads a report, and removes it so that the next one is not taken for it."""
    if not file.exists():
        raise NothingMeasured(said)
    report = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return report
