"""Figures and reports."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.figures import Cost, Figures, Latency, Window, percentile
from benchmarks.processes import Usage
from benchmarks.report import Report, sections
from benchmarks.scenarios import QUICK
from benchmarks.tables import table

WINDOW = Window(
    began=100.0,
    ended=102.0,
    latencies=[0.001 * n for n in range(1, 101)],
    before={"coordinator": Usage(1.0, 2**20), "worker": Usage(5.0, 2**20, 500)},
    after={
        "coordinator": Usage(1.6, 3 * 2**20),
        "worker": Usage(5.3, 2**20, 500 + 600 * 1024),
    },
)
MACHINE = {
    "cpu": "Chip",
    "cores": 2,
    "memory_mb": 1000,
    "kernel": "6",
    "python": "3.11",
    "compiled": False,
    "load_average": [0.0, 0.5, 1.0],
    "packages": {"aiokafka": "1"},
    "kafka": "4",
    "commit": "abc",
}


def figures() -> Figures:
    """Computes the figures of the window, of a chain of 3."""
    return Figures.of("chain-3", 100, 3, WINDOW)


def report(**problems: int) -> Report:
    """Makes a report of one row."""
    return Report(MACHINE, {"partitions": 4}, QUICK, [figures()], problems)


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100), (0.001, 1)]
)
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    """The smallest that the share of all values does not exceed."""
    assert percentile(range(1, 101), share) == value


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99, 1.0])
def test_of_one_value_every_percentile_is_that_value(share: float) -> None:
    """Also the smallest."""
    assert percentile([7.0], share) == 7.0


def test_latencies_are_summed_up_in_ms() -> None:
    """Whatever their order was."""
    assert Latency.of(list(reversed(WINDOW.latencies))) == Latency(50, 90, 99, 100)


def test_rates_are_counted_over_the_window() -> None:
    """100 plans of 3 steps in 2 s."""
    found = figures()
    assert (found.plans, found.plans_per_s, found.steps_per_s) == (100, 50.0, 150.0)


def test_cpu_is_shared_out_to_the_steps() -> None:
    """0.6 s for 300 steps are 2 ms each, and 0.3 cores over 2 s."""
    assert figures().processes["coordinator"] == Cost(2.0, 0.3, 3.0)
    assert figures().processes["worker"].written_kb_per_step == 2.0


def test_a_report_is_json() -> None:
    """With its verdict, and everything that was measured."""
    found = json.loads(json.dumps(report().to_dict()))
    assert found["correct"] is True
    assert found["figures"][0]["latency_ms"]["p99"] == 99
    assert found["figures"][0]["processes"]["worker"]["cpu_ms_per_step"] == 1.0


def test_a_report_is_markdown() -> None:
    """Its tables have a row for each scenario, and say what went wrong."""
    text = report(stuck=2).shown().markdown()
    assert "| chain-3 | 100 | 50.0 | 150 | 50.0 | 90.0 | 99.0 | 100 |" in text
    assert "| chain-3 | 100 | 2.000 | 1.000 | 0.45 |" in text
    assert "no: 2 × stuck" in text


def test_every_row_has_a_cell_for_each_column() -> None:
    """In all tables, also those that are printed."""
    for section in sections([figures()]):
        assert {len(row) for row in section.rows} == {len(section.columns)}
    assert [table(each).row_count for each in sections([figures()])] == [1, 1, 1]


def test_a_run_in_which_nothing_was_measured_is_a_report_too() -> None:
    """A run that got stuck in its first scenario says so."""
    empty = replace(report(stuck=1), figures=[])
    assert not empty.shown().is_good
    assert "no: 1 × stuck" in empty.shown().markdown()
