"""A comparison: base, candidate, base, candidate, and so on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.comparing import trees
from benchmarks.comparing.pairs import Pair, compare, measures
from benchmarks.comparing.trees import Tree, checked_out
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.report import VERDICT
from benchmarks.system import variables
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
    compiled: bool = False
    """Whether both have their folds compiled."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Those of the candidate alone."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    tree: Tree
    settings: Mapping[str, str]

    @property
    def name(self) -> str:
        """Tells it from the other one."""
        given = (f"{name}={value}" for name, value in self.settings.items())
        return " ".join([self.tree.commit, *given])

    @property
    def variables(self) -> dict[str, str]:
        """What its processes get on top of this one's own."""
        return {**self.tree.variables, **variables(self.settings)}


@dataclass(frozen=True)
class Report:
    """A whole comparison."""

    machine: Mapping[str, Any]
    sides: tuple[str, str]
    """The commits, the second with its settings."""
    rounds: int
    pairs: Sequence[Pair]
    raw: Sequence[Sequence[Mapping[str, Any]]]
    """The reports of `speed`, of each side."""
    wrong: int
    """Runs in which a plan did not end in one success."""


async def run(options: Options, say: Say) -> Report:
    """Measures both sides by turns, each time with a broker of its own."""
    facts = machine.facts() | {"compiled": options.compiled}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base, candidate = (
            stack.enter_context(checked_out(commit, folder / name))
            for name, commit in (("a", options.base), ("b", options.candidate))
        )
        if options.compiled:
            base, candidate = _compiled(base, candidate, folder, say)
        sides = (Side(base, {}), Side(candidate, options.settings))
        raw: list[list[Mapping[str, Any]]] = [[], []]
        for number in range(options.rounds):
            for side, found in zip(sides, raw, strict=True):
                say(f"round {number + 1} of {options.rounds}: {side.name}")
                found.append(await _speed(side, options.speed, folder / "speed.json"))
    return Report(
        machine=facts,
        sides=(sides[0].name, sides[1].name),
        rounds=options.rounds,
        pairs=compare(*([measures(each) for each in found] for found in raw)),
        raw=raw,
        wrong=sum(not each["correct"] for found in raw for each in found),
    )


def _compiled(base: Tree, candidate: Tree, folder: Path, say: Say) -> tuple[Tree, Tree]:
    """Compiles both, once if they are the same commit."""
    say(f"compiling {base.commit}")
    copy = trees.compiled(base, folder / "a-compiled")
    if candidate.commit == base.commit:
        return copy, copy
    say(f"compiling {candidate.commit}")
    return copy, trees.compiled(candidate, folder / "b-compiled")


async def _speed(side: Side, arguments: Sequence[str], file: Path) -> Any:
    tree = side.tree
    argv = (str(tree.python), "-m", "benchmarks", "speed", *arguments)
    command = Command(
        name="speed",
        argv=(*argv, "--json", str(file)),
        env=side.variables,
        cwd=tree.folder,
        ready=VERDICT,
    )
    # Supervised, since then neither it nor its system outlives this process.
    async with Supervisor(sink=_silent, give_up_after=1) as started:
        try:
            await started.start(command).wait_ready(MEASURED_WITHIN_S)
        except NotReady as error:
            raise NothingMeasured(f"{side.name}: {error}") from None
    report = _taken(file)
    is_compiled = report["machine"]["compiled"]
    if is_compiled is not tree.is_compiled:
        how = "compiled" if is_compiled else "interpreted"
        raise NothingMeasured(f"{side.name}: its folds were {how}")
    return report


def _silent(_name: str, _line: str) -> None:
    """Says nothing: what is wrong is in the last lines of the process."""


def _taken(file: Path) -> Any:
    """Reads a report, and removes it so that the next one is not taken for it."""
    report = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return report
