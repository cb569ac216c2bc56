"""The run of everything, as far as it goes without a broker."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.peers import baseline
from benchmarks.plot import Point, latency_against_throughput
from benchmarks.presenting import NothingMeasured
from benchmarks.suite import command, sleeper, speed
from benchmarks.suite.deadlines import FIRST_AFTER_S, SPREAD_S, errors_of, plans
from benchmarks.suite.report import curve_of
from benchmarks.suite.run import Found, Options
from benchmarks.suite.run import run as run_suite
from schemas.codec import decode_fields
from schemas.context import PlanSubmission
from streams.devkit.supervisor import NotReady
from tests.unit.benchmarks.test_report import MACHINE, figures


def answer(monkeypatch: pytest.MonkeyPatch, found: Found) -> list[Options]:
    """Has runs find this, and notes their options."""
    asked: list[Options] = []

    async def run(options: Options, _say: Any) -> tuple[dict[str, Any], Found]:
        asked.append(options)
        return MACHINE, found

    monkeypatch.setattr(command, "run", run)
    return asked


def found_one() -> Found:
    """Makes what a run of one round found."""
    found = Found()
    found.add_figures("speed", [figures()])
    found.add({**speed.measures([figures()]), "replay of 1 M rows": 3.0})
    return found


def test_a_report_has_targets_figures_and_a_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The picture lies beside the Markdown that shows it."""
    answer(monkeypatch, found_one())
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    done = CliRunner().invoke(app, ["all", *files])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "a.md").read_text()
    assert "| replay of 1 M changelog rows | 1 | 3 | s | – | ≤ 6 | 3.5 | aim |" in text
    assert "(latency.svg)" in text
    assert ET.parse(tmp_path / "latency.svg").getroot().tag.endswith("svg")
    document = json.loads((tmp_path / "a.json").read_text())
    assert len(document["targets"]) >= 13
    assert document["measures"]["chain-3 × 100 p50"] == {"1": 50.0}


def test_options_choose_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restate is measured unless other parts are asked for."""
    asked = answer(monkeypatch, Found())
    arguments = "--rounds 2 --duration 3 --open-plans 5000 --sleep 7 --part open"
    CliRunner().invoke(app, ["all", *arguments.split()])
    CliRunner().invoke(app, ["all"])
    some, all_of_it = asked
    scale = some.scale
    assert (scale.rounds, scale.pace.duration_s) == (2, 3)
    assert (scale.open_plans, scale.sleep_s) == (5000, 7)
    assert (some.parts, some.baseline) == (("open",), None)
    assert all_of_it.baseline is not None
    assert CliRunner().invoke(app, ["all", "--part", "nothing"]).exit_code == 2


@pytest.mark.parametrize(
    "error", [NothingMeasured("no npm"), NotReady("restate", "ended", ["no npm"])]
)
def test_a_part_that_cannot_be_measured_is_a_problem_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What other parts and rounds have found is not lost."""

    async def missing(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(baseline, "prepare", missing)
    nowhere = baseline.Baseline(Path("nowhere"))
    options = Options("make bench", command.QUICK, ("restate",), nowhere)
    _, found = asyncio.run(run_suite(options, lambda _: None))
    assert dict(found.problems) == {f"restate: {error}": 1}


def test_cpu_a_step_is_that_of_coordinator_and_worker() -> None:
    """Of the loop with the most plans in flight."""
    loaded = replace(figures(), in_flight=1000)
    assert speed.measures([loaded])["cpu a step"] == 3.0
    assert "cpu a step" not in speed.measures([figures()])


def test_a_curve_is_made_of_the_medians_of_the_rounds() -> None:
    """One point for each number of plans in flight."""
    rounds = [replace(figures(), plans_per_s=rate) for rate in (10.0, 30.0, 20.0)]
    other = replace(figures(), shape="fan-10")
    assert curve_of([*rounds, other]) == [Point("100 in flight", 20.0, 50.0, 99.0)]


def test_the_plot_is_a_picture_without_scripts() -> None:
    """With both lines, and their names."""
    svg = latency_against_throughput("Title", [Point("1 in flight", 100.0, 9.0, 20.0)])
    root = ET.fromstring(svg)
    assert {"<!-- p50 -->", "<!-- p99 -->"} <= set(map(str.strip, svg.splitlines()))
    assert not [each for each in root.iter() if each.tag.endswith("}script")]


def test_deadlines_are_spread_over_their_span() -> None:
    """As many plans as were asked for, each with the deadline that is waited for."""
    made = plans(2500, 1_000_000)
    due = sorted(due_ms for _, due_ms in made)
    assert len(made) == len({each.plan_id for each, _ in made}) == 2500
    assert due[0] == 1_000_000 + 1000 * FIRST_AFTER_S
    assert due[-1] < due[0] + 1000 * SPREAD_S
    submission, due_ms = made[-1]
    _, fields = decode_fields(submission.value, PlanSubmission)
    assert fields["deadline_ms"] == due_ms


def test_an_early_deadline_is_as_wrong_as_a_late_one() -> None:
    """Errors count without their sign."""
    found = errors_of([-40.0, 10.0, 20.0])
    assert found["firing error p50"] == 20.0
    assert found["firing error max"] == 40.0


@pytest.mark.parametrize("sleep_s", [1.0, 60.0, 2000.0])
def test_a_sleeper_may_sleep(sleep_s: float) -> None:
    """Longer than a step of the benchmarks may take otherwise."""
    asked = sleeper.terms(sleep_s)
    assert asked.step_timeout_ms is not None
    assert asked.step_timeout_ms > 1000 * sleep_s
    assert asked.timeout_ms > asked.step_timeout_ms
    assert json.loads(asked.payload) == {"seconds": sleep_s}
