"""A comparison: each engine is started anew for each round, by turns."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.peers.environments import Environment, Peer, prepare
from benchmarks.peers.measuring import Amount
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.system import ROOT

Found = Mapping[str, Any]
"""What was measured of one start of an engine."""

STOPPED_WITHIN_S = 30.0


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
    process = await asyncio.create_subprocess_exec(
        *(str(environment.python), "-m", "benchmarks.peers.child"),
        *(environment.peer.module, config, str(data)),
        *(json.dumps(asdict(amount)), str(file)),
        cwd=ROOT,
        env={**os.environ, **environment.variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        await _stopped(process)
    if process.returncode or not file.exists():
        words = said.decode()[-2000:]
        raise NothingMeasured(f"{environment.peer.name} {config}: {words}")
    measured: Found = json.loads(file.read_text(encoding="utf-8"))
    return measured


def _emptied(folder: Path) -> tuple[Path, Path]:
    """Makes an empty folder for data, and sees to it that an old report is gone."""
    data, file = folder / "data", folder / "found.json"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    file.unlink(missing_ok=True)
    return data, file


async def _stopped(process: asyncio.subprocess.Process) -> None:
    """Ends a process that is left; what it started ends with it (see lifeline)."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOPPED_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()
