"""What a run says of itself: all of it as JSON, and the essence for a reader."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.machine import facts
from streams.devkit.server_properties import KAFKA_VERSION
from tests.chaos import figures
from tests.chaos.findings import Findings, Invariant

if TYPE_CHECKING:
    from tests.chaos.run import Run

WRONG = (
    *(Invariant.LETTERS, Invariant.TRUE, Invariant.TRACES, Invariant.ORDER),
    *(Invariant.WHOLE, Invariant.EXITS, Invariant.FAULTS),
)


def verdict(findings: Findings) -> dict[str, int]:
    """What must be all zeros."""
    broken = findings.broken
    return {
        "lost": broken[Invariant.LOST],
        "duplicated": broken[Invariant.DUPLICATED],
        "stuck": broken[Invariant.STUCK],
        "wrong": sum(broken[each] for each in WRONG),
        "unfolded": broken[Invariant.POSITIONS],
        "tables_not_empty": broken[Invariant.ROWS],
    }


def report(run: Run, error: str | None) -> dict[str, Any]:
    """Everything that is known, also of a run that broke off."""
    findings = run.checks.findings
    return {
        "verdict": verdict(findings),
        "error": error,
        "command": run.options.command,
        "seed": run.options.seed,
        "load_s": round(run.load_s, 1),
        "whole_run_s": round(run.whole_s, 1),
        "installation": run.installation,
        "kafka": KAFKA_VERSION,
        "machine": facts(),
        **_plans(run),
        "invariants": {
            each.value: {
                "looked_at": findings.looked[each],
                "broken": findings.broken[each],
            }
            for each in Invariant
        },
        "broken": findings.examples,
        "notes": run.notes,
        **_faults(run),
        **_speed(run),
        "schedule": [str(each).strip() for each in run.schedule],
    }


def _plans(run: Run) -> dict[str, Any]:
    load, seen = run.load, run.checks.seen
    statuses = Counter(each for found in seen.statuses.values() for each in found)
    letters = Counter(each for found in seen.letters.values() for each in found)
    return {
        "plans": len(seen.first),
        "submissions": {
            "acknowledged": len(load.acknowledged),
            "not_acknowledged": load.unsure,
            "by_kind": dict(sorted(load.kinds.items())),
        },
        "results": dict(statuses),
        "results_of_aborted_transactions": seen.aborted_results,
        "rows_of_aborted_transactions": seen.aborted_rows,
        "events": len(seen.events),
        "dead_letters": dict(letters),
        "steps": len(seen.trails.steps),
        "outcomes": dict(seen.trails.kinds),
        "requests": seen.requests,
        "requests_repeated": seen.repeated_requests,
        "meddling": dict(run.meddler.counts),
    }


def _faults(run: Run) -> dict[str, Any]:
    done = run.faults.done
    return {
        "faults": len(done),
        "kills": sum(run.faults.kills.values()),
        "kills_of": run.faults.kills,
        "guests": run.storm.guests,
        "exits": {
            **{name: _codes(keeper.exits) for name, keeper in run.keepers.items()},
            "guests": _codes(run.storm.exits.elements()),
        },
        "silence_of_a_partition_ms_by_fault": figures.by_kind(
            done, run.follower.silences
        ),
    }


def _speed(run: Run) -> dict[str, Any]:
    load, follower = run.load, run.follower
    first = min((each.began for each in run.faults.done), default=None)
    late = [
        run.checks.late_ms(load.made[plan_id])
        for plan_id in follower.seen
        if plan_id in load.made
    ]
    return {
        "latency_ms": {
            "before_the_first_fault": figures.latencies(
                load, follower, lambda _, seen_at: first is None or seen_at < first
            ),
            "whole_run": figures.latencies(load, follower, lambda *_: True),
        },
        "results_seen_after_the_deadline_ms": figures.spread(
            each for each in late if each is not None and each > 0
        ),
    }


def _codes(codes: Any) -> dict[str, int]:
    return {str(code): count for code, count in sorted(Counter(codes).items())}


def summary(told: Mapping[str, Any]) -> Iterator[str]:
    """The lines that a person wants to see first."""
    yield f"verdict     {told['verdict']}"
    yield f"plans       {told['plans']}, results {told['results']}"
    yield f"submitted   {json.dumps(told['submissions'])}"
    for name in (
        *("results_of_aborted_transactions", "rows_of_aborted_transactions"),
        *("dead_letters", "outcomes", "requests", "requests_repeated", "meddling"),
        *("faults", "kills", "kills_of", "guests", "exits", "latency_ms"),
        "results_seen_after_the_deadline_ms",
    ):
        yield f"  {name.replace('_', ' ')}: {json.dumps(told[name])}"
    for kind, silent in told["silence_of_a_partition_ms_by_fault"].items():
        yield f"  silence after {kind}: {json.dumps(silent)}"
    for text, counts in told["invariants"].items():
        yield f"  {counts['broken']:3} of {counts['looked_at']:8}  {text}"
    yield from (f"BROKEN {each}" for each in told["broken"])
