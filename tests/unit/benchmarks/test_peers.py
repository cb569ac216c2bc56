"""What is computed of other engines; they themselves are not started here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.peers import baseline, plans
from benchmarks.peers.engine import Running
from benchmarks.peers.engines.planstream import plan
from benchmarks.peers.environments import PLANSTREAM, Environment
from benchmarks.peers.measuring import TURNS, Amount, Many, measure, throughput
from benchmarks.peers.report import shown
from benchmarks.peers.run import Report
from benchmarks.peers.run import measure as measure_in_environment
from benchmarks.presenting import NothingMeasured
from benchmarks.targets import TARGETS
from streams.client import validated
from streams.submissions import complete, write
from tests.unit.benchmarks.test_report import MACHINE

AMOUNT = Amount({"chain-3": (4, 8), "fan-10": ()}, 0.02, 0.05, 0.01, 0.01)


async def instantly(shape: str) -> dict[str, Any]:
    """Is an engine that costs nothing."""
    await asyncio.sleep(0.001)
    return plans.result(plans.steps(shape), dict(plans.PAYLOAD))


def measured() -> dict[str, Any]:
    """Measures it."""
    running = Running(instantly, {"engine": [], "worker": []}, {"engine": "1"})
    return {"versions": {"engine": "1"}, **asyncio.run(measure(running, AMOUNT))}


def test_an_engine_is_measured_alone_and_loaded() -> None:
    """Throughput only where plans in flight are named."""
    found = measured()["shapes"]
    assert found["chain-3"]["latency_ms"]["p50"] >= 1
    assert [each["in_flight"] for each in found["chain-3"]["throughput"]] == [4, 8]
    assert found["fan-10"]["throughput"] == []


def test_a_wrong_result_ends_the_measuring() -> None:
    """A fast engine that loses steps is not fast."""

    async def wrong(shape: str) -> dict[str, Any]:
        return plans.result(plans.steps(shape) - 1, dict(plans.PAYLOAD))

    with pytest.raises((plans.WrongResult, ExceptionGroup)):
        asyncio.run(measure(Running(wrong, {"engine": []}, {}), AMOUNT))


def test_cpu_is_shared_out_to_the_steps_and_others_to_the_machine() -> None:
    """10 fans of 12 steps, of which 8 ended while one was in flight."""
    spent = {"engine": 0.24, "others": 0.0}
    ended = [0.1, *([1.0] * 8), 2.5]
    many = Many(1, full_s=2.0, took=[0.1] * 10, ended=ended, seconds=2.5)
    found = throughput("fan-10", 1, many, spent)
    assert (found["plans_per_s"], found["steps_per_s"]) == (5.0, 60.0)
    assert found["cpu_ms_per_step"] == {"engine": 2.0}
    assert found["others_share"] == 0.0


def test_a_slow_engine_has_the_rate_of_its_whole_run() -> None:
    """To the end of its last plan: few of them ended in time, or none."""
    slow = Many(1, full_s=2.0, took=[8.0], ended=[8.0], seconds=8.0)
    assert slow.plans_per_s == 0.125
    waves = Many(2, 2.0, took=[1.9] * 2, ended=[1.9] * 2, seconds=2.0)
    assert waves.plans_per_s == 1.0


@pytest.mark.parametrize("shape", ["chain-3", "fan-10", "chain-100", "fan-1000"])
def test_planstream_runs_the_plans_that_all_engines_run(shape: str) -> None:
    """They are admitted as they are, with as many steps as are checked."""
    completed = complete(write(plan(shape), {"benchmark": "peers"}), 1)
    submission = validated(completed.text.encode())
    assert len(submission.plan.steps) == len(completed.steps) == plans.steps(shape)


def test_the_report_has_a_row_for_each_engine() -> None:
    """Medians of its rounds, and why one could not be measured."""
    found = {("planstream", "default"): [measured(), measured()]}
    whole = shown(Report(MACHINE, AMOUNT, 2, found, {"Restate": "needs npm"}))
    for section in whole.sections:
        assert [len(row) for row in section.rows] == [len(section.columns)]
        assert section.rows[0][0] == "planstream"
    assert "Restate: needs npm" in whole.markdown()
    assert not whole.is_good


def test_the_baseline_is_named_as_the_targets_name_it() -> None:
    """Else no multiple could be computed; with each number of plans in flight."""
    found = baseline.measures(measured())
    assert found["restate chain-3 p50"] >= 1
    loads = {"restate chain-3 × 4 plans/s", "restate chain-3 × 8 plans/s"}
    assert found.keys() >= loads
    names = {f"restate {x} × {n}" for x, ns in baseline.LOADS.items() for n in ns}
    rates = {x.against for x in TARGETS if x.against and x.against.endswith("/s")}
    assert {name.rpartition(" ")[0] for name in rates} <= names


def test_rates_belong_to_their_number_of_plans_in_flight() -> None:
    """In the baseline, and in the columns of the report."""
    one = measured()
    for place, run in enumerate(one["shapes"]["chain-3"]["throughput"]):
        run |= {"plans_per_s": 100.0 * (place + 1), "steps_per_s": 300.0 * (place + 1)}
    found = baseline.measures(one)
    assert found["restate chain-3 × 4 plans/s"] == 100.0
    assert found["restate chain-3 × 8 steps/s"] == 600.0
    whole = shown(Report(MACHINE, AMOUNT, 1, {("Restate", "run"): [one]}))
    (rates,) = (each for each in whole.sections if "Many in flight" in each.title)
    assert rates.columns == ("engine", "chain-3 × 4", "chain-3 × 8")
    assert rates.rows == [("Restate `run`", "100 (300)", "200 (600)")]


def test_each_place_has_its_turns() -> None:
    """However short a run was asked for: a first wave is no rate."""
    (few, many) = measured()["shapes"]["chain-3"]["throughput"]
    assert few["plans"] >= TURNS * 4
    assert many["plans"] >= TURNS * 8


def test_an_engine_that_does_not_start_is_told(tmp_path: Path) -> None:
    """With what it said last."""
    (tmp_path / "python").write_text("#!/bin/sh\necho no such engine\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    environment = Environment(PLANSTREAM, tmp_path / "python", tmp_path)
    with pytest.raises(NothingMeasured, match="no such engine"):
        asyncio.run(measure_in_environment(environment, "default", AMOUNT))


def test_an_unknown_engine_is_wrong_usage() -> None:
    """Nothing is installed for it."""
    done = CliRunner().invoke(app, ["peers", "--engine", "abacus"])
    assert done.exit_code == 2
    assert "abacus" in done.output
