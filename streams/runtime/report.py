"""What a process says of its health."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.runtime.progress import Standing, State


@dataclass(frozen=True, slots=True)
class Condition:
    """What is known of a process at one moment.

    Attributes:
        is_member: it has taken over what the group assigned to it.
        is_stopping: it was told to stop.
        broker_silent_s: since when no broker has answered.
        standings: of everything that must move when there is something to do.
    """

    is_member: bool
    is_stopping: bool
    broker_silent_s: float
    standings: Sequence[Standing]


@dataclass(frozen=True, slots=True)
class Report:
    """Live, ready, and why not.

    Attributes:
        live: it need not be started again.
        ready: it is in its group, and caught up or progressing.
        reasons: what keeps it from being ready, or live.
    """

    live: bool
    ready: bool
    reasons: tuple[str, ...]
    facts: dict[str, Any]

    def as_json(self) -> str:
        """The report as a JSON object, on one line."""
        told = {"live": self.live, "ready": self.ready, "reasons": self.reasons}
        return json.dumps({**told, **self.facts}, ensure_ascii=False)


def report_on(who: str, now: Condition, ready_s: float) -> Report:
    """Tell how a process is.

    Args:
        who: the process's name in its group.
        now: what is known of it.
        ready_s: how long it may get nothing done and still count as ready.
    """
    reasons = tuple(_reasons(now, ready_s))
    facts = {
        "who": who,
        "at": time.time_ns() // 1_000_000,
        "broker_silent_s": round(now.broker_silent_s, 1),
        "sources": [_describe(each) for each in now.standings],
    }
    return Report(True, not reasons, reasons, facts)


def dead(why: str) -> Report:
    """The report of a process that must be started again."""
    return Report(False, False, (why,), {})


def together(reports: Sequence[Report]) -> Report:
    """Join what the apps of one process report; one alone is told as it is.

    A reason begins with the name of the app that it is about, if that is known.
    """
    if len(reports) == 1:
        return reports[0]
    return Report(
        live=all(each.live for each in reports),
        ready=all(each.ready for each in reports),
        reasons=tuple(
            f"{each.facts['who']}: {reason}" if each.facts else reason
            for each in reports
            for reason in each.reasons
        ),
        facts=_joined([each.facts for each in reports if each.facts]),
    )


def _joined(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if not facts:
        return {}
    return {
        "who": ", ".join(each["who"] for each in facts),
        "at": min(each["at"] for each in facts),
        "broker_silent_s": max(each["broker_silent_s"] for each in facts),
        "sources": [source for each in facts for source in each["sources"]],
    }


def write(report: Report, path: Path) -> None:
    """Replace the file: whoever reads it sees one report, whole."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(report.as_json() + "\n", encoding="utf-8")
    new.replace(path)


def _reasons(now: Condition, ready_s: float) -> Iterator[str]:
    if now.is_stopping:
        yield "it is stopping"
    elif not now.is_member:
        yield "it has not taken over what its group assigns"
    if now.broker_silent_s > ready_s:
        yield f"no broker has answered for {now.broker_silent_s:.0f} s"
    for each in now.standings:
        age_s = each.look.facts.get("commit_age_s", 0.0)
        if max(each.still_s, each.held_s) > ready_s:
            yield describe(each)
        elif age_s > ready_s:
            yield f"{each.look.name}: a transaction has taken {age_s:.0f} s so far"


def describe(standing: Standing) -> str:
    """Say what stands still, and for how long."""
    look = standing.look
    if standing.state is State.HELD:
        return (
            f"{look.name} is held at {look.stands} for {standing.held_s:.0f} s "
            "by a transaction that is neither committed nor aborted"
        )
    return (
        f"{look.name} has not moved for {standing.still_s:.0f} s: it stands at "
        f"{look.stands}, {look.todo} wait"
    )


def _describe(standing: Standing) -> dict[str, Any]:
    look = standing.look
    described: dict[str, Any] = {
        "name": look.name,
        "state": standing.state.value,
        "waiting": look.todo,
        "still_s": round(max(standing.still_s, standing.held_s), 1),
        **look.facts,
    }
    if look.excuse is not None and look.todo:
        described["excuse"] = look.excuse
    return described
