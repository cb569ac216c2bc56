"""What was measured, as tables."""

from __future__ import annotations

from benchmarks import machine
from benchmarks.presenting import Shown
from benchmarks.report import settings_line, verdict
from benchmarks.tables import Section
from benchmarks.takeover.figures import EXTRA_S, GRACE_S, Kills, Report, Rolling, Spans


def sections(report: Report) -> list[Section]:
    """Lists the tables of a report; spans are in seconds, p50 / p99 / max."""
    kills = (
        *("mode", "kills", "partitions", "take-over", "limit", "met"),
        *("rows replayed", "fence + replay", "plans before", "plans meanwhile"),
    )
    rolling = (
        *("membership", "restarts", "seconds", "plans before", "plans meanwhile"),
        *("slowest waited longer by", "limit", "met"),
    )
    return [
        Section("Kill -9 of a coordinator", kills, [*map(_kills, report.kills)]),
        Section("SIGTERM of each process", rolling, [*map(_rolling, report.rolling)]),
    ]


def shown(report: Report) -> Shown:
    """Gives the report as people want it."""
    return Shown(
        title="Take-over",
        facts=[
            f"Command: `{report.command}`",
            *machine.lines(report.machine),
            settings_line(report.settings),
            f"Open plans: {report.open_plans:,}, opened in {report.opened_in_s:g} s",
        ],
        sections=sections(report),
        document=report.to_dict(),
        verdict=verdict(report.problems, "ordinary plan"),
        is_good=report.is_met,
    )


def _kills(each: Kills) -> tuple[str, ...]:
    return (
        each.mode,
        f"{each.kills}",
        f"{each.partitions}",
        _spans(each.takeover_s),
        f"p99 {each.session_s + GRACE_S:g}",
        _met(each.is_met),
        f"{each.replayed_rows:,}",
        _spans(each.fence_and_replay_s),
        _spans(each.undisturbed_s),
        _spans(each.plans_s),
    )


def _rolling(each: Rolling) -> tuple[str, ...]:
    return (
        each.mode.partition("-")[0],
        f"{each.restarts}",
        f"{each.seconds:g}",
        _spans(each.undisturbed_s),
        _spans(each.plans_s),
        f"{each.extra_s:.1f}",
        f"{EXTRA_S:g}",
        _met(each.is_met),
    )


def _spans(spans: Spans) -> str:
    return f"{spans.p50:.2f} / {spans.p99:.2f} / {spans.max:.2f}"


def _met(met: bool) -> str:
    return "yes" if met else "no"
