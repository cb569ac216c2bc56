"""Large plans are admitted as they are, and reported."""

from __future__ import annotations

import json
import time

import pytest

from benchmarks.figures import Cost, Figures, Latency
from benchmarks.large.cases import LARGEST_RESULT, RESULTS, Case, cases
from benchmarks.large.command import shown
from benchmarks.large.run import SUBMISSION_BYTES, Measured, Options, Report
from benchmarks.submissions import Template
from schemas import codec
from schemas.context import PlanSubmission
from streams.client import validated
from streams.config import Settings
from tests.unit.benchmarks.test_report import MACHINE

LARGE = cases()


@pytest.mark.parametrize("case", LARGE, ids=[each.name for each in LARGE])
def test_a_large_plan_is_a_valid_one(case: Case) -> None:
    """Within the size that is set for them; by default some are too large."""
    made = Template.of(case.shape, time.time_ns() // 1_000_000, terms=case.terms).make()
    submission = validated(made.value)
    assert len(submission.plan.steps) == case.shape.steps
    assert len(made.value) < SUBMISSION_BYTES
    by_default = Settings.model_fields["max_submission_bytes"].default
    assert (len(made.value) > by_default) == ("environment" in case.name)


def test_the_environment_is_what_the_handlers_look_for() -> None:
    """A megabyte of text, by the name that the payload gives."""
    (case,) = (each for each in LARGE if "environment, 1,024 steps, all" in each.name)
    made = Template.of(case.shape, 1, terms=case.terms).make()
    submission = codec.decode(made.value, PlanSubmission)
    name = json.loads(case.terms.payload)["name"]
    assert len(json.loads(submission.environment[name])) == 2**20


def test_results_are_of_the_largest_size() -> None:
    """A string's quotes count."""
    asked = json.loads(LARGE[-1].terms.payload)["characters"]
    assert len(json.dumps("x" * asked)) == LARGEST_RESULT
    assert LARGE[-1].shape.steps == RESULTS


@pytest.mark.parametrize(("kb", "told"), [(2.0, "2,048"), (None, "–")])
def test_a_report_has_a_row_for_each_case(kb: float | None, told: str) -> None:
    """With planstream's memory; a broker of somebody else's has a disk unknown."""
    costs = {"broker": Cost(0.1, 0.1, 900.0, written_kb_per_step=kb)}
    latency = Latency(100.0, 150.0, 200.0, 300.0)
    figures = Figures("ready-1024", 1, 50, 5.0, 10.0, 10_240.0, latency, costs)
    peak = {"coordinator": 120.4, "worker": 80.0, "broker": 900.0}
    measured = Measured(LARGE[2], figures, peak)
    report = shown(Report(Options(), MACHINE, {}, [measured]))
    row = "| 1,024 steps, all ready | 50 | 100 | 300 | 120 | 80 |"
    assert f"{row} {told} |" in report.markdown()
    assert report.document["cases"][0]["peak_mb"]["coordinator"] == 120.4
