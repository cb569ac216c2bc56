"""What counts as a bearable overload."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.figures import Latency
from benchmarks.machine import facts
from benchmarks.overload.command import shown
from benchmarks.overload.figures import Overload, Sample
from benchmarks.overload.run import Options, Report


def samples(*memory: float, rate: float = 950.0) -> list[Sample]:
    return [
        Sample(
            at_s=10.0 * number,
            plans_per_s=rate,
            waiting=1000 * number,
            latency_ms=Latency(*([400.0 * number] * 4)),
            rss_mb={"coordinator": each, "worker": 90.0},
        )
        for number, each in enumerate(memory, start=1)
    ]


def late(those: list[Sample]) -> list[Sample]:
    """Plans overtake others: the last ones wait longer than the queue takes."""
    return [*those[:-1], replace(those[-1], latency_ms=Latency(1.0, 2.0, 6100, 7000))]


FLAT = (100.0, 110.0, 120.0, 120.0, 121.0, 120.0)
BEARABLE = Overload(
    name="coordinator",
    capacity=1000.0,
    offered=2000.0,
    samples=samples(*FLAT),
    drained_s=7.0,
    before_ms=10.0,
    after_ms=11.0,
)


def test_an_overload_is_bearable() -> None:
    """Flat memory, most of the rate, and soon over."""
    assert BEARABLE.is_met
    assert BEARABLE.rate == 950
    assert BEARABLE.waiting == 6000
    assert BEARABLE.most_mb("coordinator") == 121


@pytest.mark.parametrize(
    ("what", "worse"),
    [
        ("rate", replace(BEARABLE, samples=samples(*FLAT, rate=700.0))),
        ("growth", replace(BEARABLE, samples=samples(100, 110, 120, 150, 170, 190))),
        ("wait", replace(BEARABLE, samples=late(samples(*FLAT)))),
        ("drain", replace(BEARABLE, drained_s=12.0)),
        ("afterwards", replace(BEARABLE, after_ms=16.0)),
    ],
)
def test_each_limit_is_one(what: str, worse: Overload) -> None:
    """What breaks one limit breaks no other."""
    broken = [row[0] for row in worse.rows() if not row[-1]]
    assert len(broken) == 1
    assert what in broken[0]
    assert not worse.is_met


def test_a_report_says_what_was_not_kept() -> None:
    """In its table, its document, and its exit code."""
    worse = replace(BEARABLE, drained_s=12.0)
    report = shown(Report(Options(["coordinator"]), facts(), {}, [worse]))
    assert not report.is_good
    assert "| coordinator | time to drain, of the least | 2.00× | ≤ 1.50× | no |" in (
        report.markdown()
    )
    (document,) = report.document["overloads"]
    assert [each["kept"] for each in document["limits"]].count(False) == 1
