"""How exactly limits fire when thousands of them are armed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks import backlog
from benchmarks.figures import percentile
from benchmarks.presenting import NothingMeasured
from benchmarks.shapes import chain
from benchmarks.submissions import Submission, Template
from benchmarks.suite.session import Session

SHAPE = chain(3)
FIRST_AFTER_S = 8.0
"""From the making of the plans to the first deadline: all are armed by then."""
SPREAD_S = 10.0
KINDS = 1000
"""Different deadlines; as many plans as there are to a kind share one."""
LATE_S = 30.0
EARLY_MS = 1000


async def measure(session: Session) -> dict[str, float]:
    """Submits plans that wait for ever, and looks when their deadlines end them.

    The error is the time from the deadline to the result's arrival here: what the
    coordinator is late, and what a result takes. An early one counts as much.
    """
    made = plans(session.scale.armed, time.time_ns() // 1_000_000)
    session.load.tracker.strangers.update(each.plan_id for each, _ in made)
    due = {each.plan_id: due_ms for each, due_ms in made}
    await session.client.send([each for each, _ in made])
    sent_ms = time.time_ns() // 1_000_000
    if sent_ms > min(due.values()):
        raise NothingMeasured("the deadlines were over before all plans were sent")
    errors, statuses = await _fired(session, due)
    if set(statuses) != {b"failure"}:
        raise NothingMeasured(f"plans that wait for ever ended with {dict(statuses)}")
    if min(errors) < -EARLY_MS:
        raise NothingMeasured("plans ended long before their deadlines: not by them")
    found = errors_of(errors)
    session.say(f"  {len(errors):,} deadlines: {found}")
    return found


def plans(count: int, now_ms: int) -> list[tuple[Submission, int]]:
    """Makes plans of as many kinds as there are, and says when each is to end."""
    made = []
    kinds = min(KINDS, count)
    for number in range(kinds):
        after_ms = int(1000 * (FIRST_AFTER_S + SPREAD_S * number / kinds))
        # A deadline that leaves a plan less than its timeout is not admitted.
        terms = replace(backlog.TERMS, timeout_ms=after_ms, lifetime_ms=after_ms)
        template = Template.of(SHAPE, now_ms, terms=terms)
        due_ms = now_ms + after_ms
        made += [(template.make(), due_ms) for _ in range(number, count, kinds)]
    return made


def errors_of(errors_ms: Sequence[float]) -> dict[str, float]:
    """Sums up how far from their deadlines plans ended."""
    ordered = sorted(map(abs, errors_ms))
    return {
        "firing error p50": percentile(ordered, 0.5),
        "firing error p99": percentile(ordered, 0.99),
        "firing error max": ordered[-1],
    }


async def _fired(
    session: Session, due: dict[bytes, int]
) -> tuple[list[float], Counter[bytes]]:
    errors: list[float] = []
    statuses: Counter[bytes] = Counter()
    give_up_ms = max(due.values()) + 1000 * LATE_S
    waiting = dict(due)
    while waiting:
        records: list[Any] = await session.client.receive(1.0)
        now_ms = time.time_ns() / 1_000_000
        for record in records:
            due_ms = waiting.pop(record.key, None)
            if due_ms is not None:
                errors.append(now_ms - due_ms)
                statuses[dict(record.headers)["status"]] += 1
        session.system.check()
        if now_ms > give_up_ms:
            raise NothingMeasured(f"{len(waiting)} deadlines have not fired")
    return errors, statuses
