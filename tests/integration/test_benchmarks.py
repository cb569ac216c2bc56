"""The benchmarks run, through their command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import Broker

ROOT = Path(__file__).parents[2]


def test_a_shape_is_measured(kafka: Broker, tmp_path: Path) -> None:
    """A short closed loop of one shape, every plan with its one success."""
    file = tmp_path / "speed.json"
    pace = ["--settle", "0.2", "--warm-up", "0.2", "--duration", "0.5"]
    load = ["--shape", "fan-3", "--in-flight", "5", "--partitions", "2"]
    command = [sys.executable, "-m", "benchmarks", "speed"]
    subprocess.run(
        [*command, "--broker", kafka.bootstrap, *load, *pace, "--json", str(file)],
        cwd=ROOT,
        check=True,
        timeout=100,
    )
    report = json.loads(file.read_text())
    (figures,) = report["figures"]
    assert report["correct"]
    assert (figures["shape"], figures["in_flight"]) == ("fan-3", 5)
    assert figures["plans"] > 0
    assert figures["processes"].keys() >= {"coordinator", "worker", "driver"}
    assert figures["processes"]["coordinator"]["rss_mb"] > 10
