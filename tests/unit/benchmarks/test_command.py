"""The command line, as far as it goes without a broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import speed
from benchmarks.__main__ import app
from benchmarks.large import run as large_run
from benchmarks.overload import run as overload_run
from benchmarks.presenting import NothingMeasured
from benchmarks.report import Report
from benchmarks.run import Options
from benchmarks.soak import run as soak_run
from streams.devkit.supervisor import NotReady

MACHINE = {
    "cpu": "Chip",
    "cores": 2,
    "memory_mb": 1000,
    "kernel": "6",
    "python": "3.11",
    "compiled": False,
    "load_average": [0.0, 0.0, 0.0],
    "packages": {},
    "kafka": "4",
    "commit": None,
}


def answer(
    monkeypatch: pytest.MonkeyPatch, problems: dict[str, int] | Exception
) -> list[Options]:
    """Has runs end with these problems, or not at all, and notes their options."""
    asked: list[Options] = []

    async def run(options: Options, _progress: Any) -> Report:
        asked.append(options)
        if isinstance(problems, Exception):
            raise problems
        return Report(MACHINE, {}, options.pace, [], problems)

    monkeypatch.setattr(speed, "run", run)
    return asked


def test_options_choose_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes, numbers in flight and times replace the usual ones."""
    asked = answer(monkeypatch, {})
    arguments = "--shape chain-5 --shape fan-2 --in-flight 7 --duration 2 --warm-up 0"
    done = CliRunner().invoke(app, ["speed", *arguments.split()])
    assert done.exit_code == 0, done.output
    (options,) = asked
    assert [each.name for each in options.scenarios] == ["chain-5 × 7", "fan-2 × 7"]
    assert (options.pace.duration_s, options.pace.warm_up_s) == (2, 0)


def test_the_quick_run_is_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """It measures less, and for less time."""
    asked = answer(monkeypatch, {})
    CliRunner().invoke(app, ["speed", "--quick"])
    CliRunner().invoke(app, ["speed"])
    quick, full = asked
    assert len(quick.scenarios) < len(full.scenarios)
    assert quick.pace.duration_s < full.pace.duration_s


def test_a_report_is_written_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As JSON and as Markdown, also when plans went wrong."""
    answer(monkeypatch, {"plan without a result": 3})
    files = {"--json": tmp_path / "a.json", "--markdown": tmp_path / "a.md"}
    arguments = [str(each) for pair in files.items() for each in pair]
    done = CliRunner().invoke(app, ["speed", *arguments])
    assert done.exit_code == 1
    assert json.loads(files["--json"].read_text())["correct"] is False
    assert "3 × plan without a result" in files["--markdown"].read_text()
    assert "3 × plan without a result" in done.output


def test_a_system_that_does_not_start_is_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing was measured: exit code 2, and what the process said last."""
    answer(monkeypatch, NotReady("worker", "ended", ["no such module"]))
    done = CliRunner().invoke(app, ["speed", "--quick"])
    assert done.exit_code == 2
    assert "no such module" in done.output


@pytest.mark.parametrize("shape", ["ring-3", "fan-5000"])
def test_an_unknown_shape_is_wrong_usage(shape: str) -> None:
    """Nothing is started for it."""
    done = CliRunner().invoke(app, ["speed", "--shape", shape])
    assert done.exit_code == 2
    assert shape in done.output


@pytest.mark.parametrize(
    ("command", "module"),
    [("soak", soak_run), ("overload", overload_run), ("large", large_run)],
)
def test_topics_have_the_partitions_that_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, command: str, module: Any
) -> None:
    """And none are named where none were: the settings say then."""
    asked: list[Any] = []

    def installed(*_: Any, **settings: Any) -> Any:
        asked.append(settings["partitions"])
        raise NothingMeasured("enough")

    monkeypatch.setattr(module, "installed", installed)
    for more in ([], ["--partitions", "3"]):
        assert CliRunner().invoke(app, [command, *more]).exit_code == 2
    assert asked == [None, 3]
