"""What a layout costs, and which are measured."""

from __future__ import annotations

from benchmarks.figures import Cost, Figures, Latency
from benchmarks.machine import facts
from benchmarks.scale.command import layouts, shown
from benchmarks.scale.figures import Layout, Measured, steps_per_s_of_a_core
from benchmarks.scale.run import LAYOUTS, Options, Report
from benchmarks.system import crew

COSTS = {
    "coordinator-0": Cost(0.06, 0.5, 90.0),
    "coordinator-1": Cost(0.04, 0.4, 90.0),
    "worker-0": Cost(0.05, 0.4, 80.0),
    "broker": Cost(0.02, 0.3, 900.0, written_kb_per_step=1.5),
    "driver": Cost(0.01, 0.1, 100.0),
}


def figures(in_flight: int) -> Figures:
    latency = Latency(10.0, 12.0, 20.0, 30.0)
    return Figures("chain-3", in_flight, 9000, 3.0, 3000.0, 9000.0, latency, COSTS)


MEASURED = Measured(Layout(2, 8), figures(1000), figures(1))


def test_processes_of_a_role_are_added_up() -> None:
    """What a step costs is what all coordinators together spend on it."""
    assert round(MEASURED.cpu_ms("coordinator"), 4) == 0.1
    assert MEASURED.cpu_ms("worker") == 0.05
    assert round(MEASURED.cores, 4) == 1.7


def test_a_core_is_worth_so_many_steps() -> None:
    """The inverse of the cost."""
    worth = steps_per_s_of_a_core(MEASURED)
    assert round(worth["coordinator"]) == 10_000
    assert round(worth["worker"]) == 20_000


def test_layouts_are_chosen() -> None:
    """Each number of processes on each number of partitions."""
    assert layouts((), ()) == list(LAYOUTS)
    assert layouts([2], [4, 16], combined=False) == [Layout(2, 4), Layout(2, 16)]
    assert layouts([2], [4]) == [Layout(2, 4), Layout(2, 4, combined=True)]


def test_a_crew_has_names_of_its_own() -> None:
    """One alone has its role's; several are told apart, by their instances as well."""
    (alone,) = crew("worker", 1, {})
    assert alone.name == "worker"
    assert "--name" not in alone.argv
    both = crew("worker", 2, {}, "--handlers", "m")
    assert [each.name for each in both] == ["worker-0", "worker-1"]
    assert [each.argv[each.argv.index("--name") + 1] for each in both] == ["0", "1"]


def test_a_report_has_a_row_for_each_layout() -> None:
    """In every table, and in the document."""
    report = shown(Report(Options([MEASURED.layout]), facts(), {}, [MEASURED]))
    row = "| 2 + 2 on 8 | 0.100 | 0.050 | – | 0.020 | 0.010 | 1.50 |"
    assert row in report.markdown()
    (document,) = report.document["layouts"]
    assert document["cpu_ms_per_step"]["coordinator"] == 0.1
