"""What the measuring of take-overs sees, computes and reports."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.progress import Progress, Replay, Sayings, Takeover
from benchmarks.takeover import command
from benchmarks.takeover.figures import Kills, Report, Rolling, Spans
from benchmarks.takeover.report import sections, shown
from benchmarks.takeover.run import Options, modes
from benchmarks.waiting import Stalled, wait_for

GENERATION = "INFO planstream.coordinator generation 3: 4 partitions, {}, in 1.25 s"
MACHINE = {
    "cpu": "Chip",
    "cores": 2,
    "memory_mb": 1000,
    "kernel": "6",
    "load_average": [0.5, 1.0, 1.5],
    "python": "3.11",
    "compiled": False,
    "packages": {},
    "kafka": "4",
    "commit": "abc",
}


def kills(p99: float = 11.9) -> Kills:
    """Gives the figures of two kills, the slower partition of which took so long."""
    takeovers = [{0: 1.0, 1: 2.0}, {2: 3.0, 3: p99}]
    replays = [Replay(0, 2, 500, 1.5), Replay(0, 2, 900, 0.5)]
    return Kills.of("static-back", 10.0, takeovers, replays, ([0.1], [0.2, 12.0]))


def rolling(slowest: float = 5.5) -> Rolling:
    """Gives the figures of restarts during which a plan took so long."""
    return Rolling("static-back", 4, 20.0, Spans(0.1, 0.4, 0.5), Spans(1, 2, slowest))


def report(*, problems: dict[str, int] | None = None, p99: float = 11.9) -> Report:
    """Gives a report with a row of each kind."""
    settings = {"partitions": 8}
    rows = [kills(p99)], [rolling()]
    return Report("run it", MACHINE, settings, 1000, 2.5, *rows, problems or {})


def test_a_takeover_ends_with_a_row_that_a_successor_made() -> None:
    """Rows that the dead owner made, and other partitions', do not count."""
    takeover = Takeover(killed_at=100.0, dead_ms=5000, partitions=frozenset({1, 2}))
    takeover.see(1, made_ms=5000, at=100.5)
    takeover.see(3, made_ms=6000, at=101.0)
    takeover.see(1, made_ms=6000, at=102.0)
    takeover.see(1, made_ms=7000, at=103.0)
    assert takeover.seconds == {1: 2.0}
    assert not takeover.is_over
    takeover.see(2, made_ms=7000, at=104.0)
    assert takeover.seconds == {1: 2.0, 2: 4.0}
    assert takeover.is_over


def test_owners_are_known_by_what_they_say() -> None:
    """The last ready line of each counts; each partition must have one owner."""
    sayings = Sayings()
    sayings.hear("a", "planstream coordinator ready: partitions 0, 1, 2 of 3")
    assert sayings.is_whole(["a"], 3)
    sayings.hear("b", "INFO planstream coordinator ready: partitions 2 of 3")
    assert not sayings.is_whole(["a", "b"], 3)
    sayings.hear("a", "INFO planstream coordinator ready: partitions 0, 1 of 3")
    assert sayings.is_whole(["a", "b"], 3)
    sayings.hear("b", "INFO planstream coordinator ready: partitions none of 3")
    assert sayings.owned == {"a": {0, 1}, "b": frozenset()}
    assert not sayings.is_whole(["a", "b"], 3)


def test_only_a_takeover_that_replayed_something_new_is_noted() -> None:
    """A rebalance that left all partitions where they were is none."""
    sayings = Sayings()
    sayings.hear("a", GENERATION.format("0 new with 0 rows"))
    sayings.hear("a", "INFO planstream.coordinator something else")
    assert not sayings.replays
    sayings.hear("a", GENERATION.format("2 new with 1234 rows"))
    ((_, *facts),) = [
        (each.at, each.partitions, each.rows, each.seconds) for each in sayings.replays
    ]
    assert facts == [2, 1234, 1.25]


def test_steady_are_partitions_that_have_all_got_on_just_now() -> None:
    """One that nobody has seen is not."""
    progress = Progress(None)
    assert not progress.is_steady([0], within_s=1e9)
    progress.last_at = {0: 0.0, 1: 0.0}
    assert progress.is_steady([0, 1], within_s=1e9)
    assert not progress.is_steady([0, 1, 2], within_s=1e9)


@pytest.mark.parametrize(("p99", "met"), [(12.0, True), (12.1, False)])
def test_a_takeover_may_last_a_session_and_two_seconds(p99: float, met: bool) -> None:
    """At p99, over the partitions of all kills."""
    figures = kills(p99)
    assert (figures.kills, figures.partitions) == (2, 4)
    assert figures.takeover_s == Spans(2.0, p99, p99)
    assert (figures.replayed_rows, figures.fence_and_replay_s.max) == (900, 1.5)
    assert figures.is_met is met
    assert report(p99=p99).is_met is met


@pytest.mark.parametrize(("slowest", "met"), [(5.5, True), (5.6, False)])
def test_a_plan_may_wait_five_seconds_longer(slowest: float, met: bool) -> None:
    """Than the slowest of those that nothing disturbed."""
    figures = rolling(slowest)
    assert figures.extra_s == pytest.approx(slowest - 0.5)
    assert figures.is_met is met
    assert replace(report(), rolling=[figures]).is_met is met


def test_a_plan_without_its_one_success_spoils_a_report() -> None:
    """However fast everything was."""
    assert report().is_met
    spoilt = report(problems={"plan without a result": 2})
    assert not spoilt.is_met
    assert "no: 2 × plan without a result" in shown(spoilt).markdown()


def test_a_report_is_markdown_and_json() -> None:
    """With the command that made it, and as many cells in a row as columns."""
    text = shown(report()).markdown()
    assert "- Command: `run it`" in text
    assert "| static-back | 2 | 4 | 2.00 / 11.90 / 11.90 | p99 12 | yes | 900 |" in text
    for section in sections(report()):
        assert all(len(row) == len(section.columns) for row in section.rows)
    facts = json.loads(json.dumps(report().to_dict()))
    assert facts["met"] is True
    assert facts["kills"][0]["takeover_s"] == {"p50": 2.0, "p99": 11.9, "max": 11.9}
    assert facts["rolling"][0]["extra_s"] == 5.0


def test_who_stays_away_does_so_for_longer_than_a_takeover_may_last() -> None:
    """Else the others would not have to take over."""
    away = {each.name: each.back_after_s for each in modes(10.0, 0.5)}
    assert away["static-back"] == away["dynamic-back"] == 0.5
    assert away["static-away"] == away["dynamic-away"] > 12.0
    assert [each.static for each in modes(10.0, 0.5)] == [True, True, False, False]


def test_waiting_ends_with_what_did_not_come() -> None:
    """And at once when it is there."""
    asyncio.run(wait_for("the end", lambda: True, within_s=0))
    with pytest.raises(Stalled, match="the end: not within 0 s"):
        asyncio.run(wait_for("the end", lambda: False, within_s=0))


@pytest.mark.parametrize(("p99", "code"), [(11.9, 0), (12.1, 1)])
def test_the_command_writes_reports_and_exits_with_its_verdict(
    p99: float, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """0 when every limit was kept; the options are what is measured."""
    asked: list[Options] = []

    async def run(options: Options, _say: Any) -> Report:
        asked.append(options)
        return report(p99=p99)

    monkeypatch.setattr(command, "run", run)
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    arguments = ["--kills", "3", "--mode", "static-away", *files]
    done = CliRunner().invoke(app, ["takeover", *arguments])
    assert done.exit_code == code, done.output
    assert (asked[0].kills, asked[0].only) == (3, ["static-away"])
    assert json.loads((tmp_path / "a.json").read_text())["met"] is (code == 0)
    assert "# Take-over" in (tmp_path / "a.md").read_text()


def test_an_unknown_mode_is_wrong_usage() -> None:
    """Nothing is started for it."""
    done = CliRunner().invoke(app, ["takeover", "--mode", "quantum"])
    assert done.exit_code == 2
    assert "quantum" in done.output
