"""A comparison: base, candidate, base, candidate, and so on."""

from __future__ import annotations

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
from benchmarks.report import VERDICT
from streams.devkit.supervisor import Command, NotReady, Supervisor

MEASURED_WITHIN_S = 1800.0


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
    argv = (str(tree.python), "-m", "benchmarks", "speed", *arguments)
    command = Command(
        "speed", (*argv, "--json", str(file)), cwd=tree.folder, ready=VERDICT
    )
    # Supervised, since then neither it nor its system outlives this process.
    async with Supervisor(sink=_silent, give_up_after=1) as started:
        try:
            await started.start(command).wait_ready(MEASURED_WITHIN_S)
        except NotReady as error:
            raise NothingMeasured(f"{tree.commit}: {error}") from None
    return _taken(file)


def _silent(_name: str, _line: str) -> None:
    """Says nothing: what is wrong is in the last lines of the process."""


def _taken(file: Path) -> Any:
    """Reads a report, and removes it so that the next one is not taken for it."""
    report = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return report
