"""How costs of the client alone are told."""

from __future__ import annotations

from benchmarks.limits.command import shown
from benchmarks.limits.run import Cost, Report
from benchmarks.machine import facts


def test_a_report_has_a_row_for_each_cost() -> None:
    """CPU of one, and how many a second, as a table and as a document."""
    costs = [Cost("record sent", 2.34, 412_345.6), Cost("transaction", 950.1, 120.0)]
    report = shown(Report(facts(), costs))
    assert "| record sent | 2.3 | 412,346 |" in report.markdown()
    assert "| transaction | 950 | 120 |" in report.markdown()
    assert report.document["costs"][1]["cpu_us"] == 950.1
