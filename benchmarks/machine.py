"""The facts about a machine without which figures mean nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agents import coordinator
from streams.devkit.server_properties import KAFKA_VERSION

PACKAGES = ("faust-streaming", "mode-streaming", "aiokafka", "fastavro", "uvloop")


def facts() -> dict[str, Any]:
    """Describes the machine, the versions, and what it was busy with before."""
    return {
        "cpu": cpu_model(_read("/proc/cpuinfo")),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": memory_mb(_read("/proc/meminfo")),
        "kernel": platform.release(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "compiled": is_compiled(),
        "packages": {name: _version(name) for name in PACKAGES},
        "kafka": KAFKA_VERSION,
        "commit": commit(),
    }


def is_compiled() -> bool:
    """Whether folds run as C, not as Python (docs/adr/0016)."""
    return Path(coordinator.__file__).suffix != ".py"


def lines(facts: Mapping[str, Any]) -> list[str]:
    """Says what was measured, and on what, in a few lines."""
    packages = ", ".join(f"{name} {each}" for name, each in facts["packages"].items())
    load = ", ".join(f"{each:g}" for each in facts["load_average"])
    return [
        f"Machine: {facts['cpu']}, Linux {facts['kernel']}",
        (
            f"All on {facts['cores']} cores and {facts['memory_mb']} MB; "
            f"load average before: {load}"
        ),
        f"Software: Python {facts['python']}, {packages}",
        f"Kafka, where it is embedded: {facts['kafka']}",
        f"Folds: {'compiled' if facts['compiled'] else 'interpreted'}",
        f"Commit: {facts['commit']}",
    ]


def cpu_model(cpuinfo: str) -> str:
    """Finds the model's name, or the architecture where there is none."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def memory_mb(meminfo: str) -> int | None:
    """Finds how much memory there is."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return None


def commit() -> str | None:
    """Names the commit that is measured, with a + when files differ from it.

    A compiled copy says of itself what it was made of.
    """
    root = Path(__file__).parents[1]
    if told := _read(str(root / "COMMIT")):
        return told
    describe = ("describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+")
    try:
        done = subprocess.run(
            ["git", *describe], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
