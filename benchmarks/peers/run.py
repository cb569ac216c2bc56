"""A comparison: each engine is started anew for each round, by turns."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.peers.child import DONE
from benchmarks.peers.environments import Environment, Peer, prepare
from benchmarks.peers.measuring import Amount
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.system import ROOT
from streams.devkit.lines import log_files
from streams.devkit.supervisor import Command, NotReady, Supervisor

Found = Mapping[str, Any]
"""What was measured of one start of an engine."""

MEASURED_WITHIN_S = 900.0


@dataclass(frozen=True)
class Options:
    """What is compared, and how."""

    peers: Sequence[Peer]
    amount: Amount
    rounds: int
    scratch: Path


@dataclass(frozen=True)
class Report:
    """A whole comparison."""

    machine: Mapping[str, Any]
    amount: Amount
    rounds: int
    found: Mapping[tuple[str, str], Sequence[Found]]
    """By engine and configuration, round by round."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Why an engine was not measured."""


async def run(options: Options, say: Say) -> Report:
    """Measures all engines, round by round, so that all see the same machine."""
    facts = machine.facts()
    environments, problems = [], {}
    for peer in options.peers:
        try:
            environments.append(await prepare(peer, options.scratch, say))
        except NothingMeasured as error:
            problems[peer.name] = str(error)
            say(f"{peer.name}: {error}")
    found: dict[tuple[str, str], list[Found]] = {}
    for number in range(options.rounds):
        for environment in environments:
            for config in environment.peer.configs:
                name = f"{environment.peer.name} {config}"
                say(f"round {number + 1} of {options.rounds}: {name}")
                try:
                    measured = await measure(environment, config, options.amount)
                except NothingMeasured as error:
                    problems[name] = str(error)
                    say(f"{error}")
                    continue
                key = (environment.peer.name, config)
                found.setdefault(key, []).append(measured)
    return Report(facts, options.amount, options.rounds, found, problems)


async def measure(environment: Environment, config: str, amount: Amount) -> Found:
    """Measures one start of an engine, in its own environment.

    Raises:
        NothingMeasured: It did not get to its end.
    """
    data, file = _emptied(environment.folder)
    argv = (
        *(str(environment.python), "-m", "benchmarks.peers.child"),
        *(environment.peer.module, config, str(data)),
        *(json.dumps(asdict(amount)), str(file)),
    )
    command = Command(
        environment.peer.module, argv, environment.variables, ROOT, ready=DONE
    )
    # Supervised, since then neither it nor the engine outlives this process.
    async with Supervisor(
        sink=log_files(environment.folder), give_up_after=1
    ) as started:
        try:
            await started.start(command).wait_ready(MEASURED_WITHIN_S)
        except NotReady as error:
            raise NothingMeasured(f"{config}: {error}") from None
    measured: Found = json.loads(file.read_text(encoding="utf-8"))
    return measured


def _emptied(folder: Path) -> tuple[Path, Path]:
    """Makes an empty folder for data, and sees to it that an old report is gone."""
    data, file = folder / "data", folder / "found.json"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    file.unlink(missing_ok=True)
    return data, file
