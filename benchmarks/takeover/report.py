"""What was measured, as tables."""

from __future__ import annotations

from rich.table import Table

from benchmarks.report import Section, markdown_table, table
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


def tables(report: Report) -> list[Table]:
    """Makes the tables that are printed at the end."""
    return [table(section) for section in sections(report)]


def markdown(report: Report) -> str:
    """Writes the report as Markdown."""
    machine = report.machine
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    load = ", ".join(map(str, machine["load_average"]))
    facts = [
        f"- Command: `{report.command}`",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores, load before {load}",
        f"- Commit: {machine['commit']}",
        f"- Settings: {settings}",
        f"- Open plans: {report.open_plans:,}, opened in {report.opened_in_s:g} s",
        f"- Every ordinary plan ended in one success: {verdict(report)}",
    ]
    lines = [line for each in sections(report) for line in markdown_table(each)]
    return "\n".join(["# Take-over", "", *facts, *lines, ""])


def verdict(report: Report) -> str:
    """Says whether every plan had its one success, and what happened otherwise."""
    if not report.problems:
        return "yes"
    return "no: " + ", ".join(f"{n} × {what}" for what, n in report.problems.items())


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
