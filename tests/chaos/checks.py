"""What is promised, looked for in what lies on the topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from schemas.results import Status
from tests.chaos.evidence import Evidence, Gatherer, results
from tests.chaos.findings import Findings, Invariant
from tests.chaos.follower import Follower
from tests.chaos.load import Load
from tests.chaos.made import Made
from tests.chaos.trails import StepTrail
from tests.integration.system import System

TAKEOVER_MS = 90_000
"""How long after its deadline a plan may end: a session, an outage of the broker, and
half a minute by which a coordinator's clock was set back."""
AT_LEAST_ONCE = "step-requests."
"""Workers write dead letters of these topics, and have no transactions."""
NOBODY = StepTrail(0)


class Checks:
    """Reads the topics and notes in `findings` every promise that was not kept."""

    def __init__(self, system: System, load: Load, follower: Follower) -> None:
        self.findings = Findings()
        self._system = system
        self._load = load
        self._follower = follower
        self._gatherer = Gatherer(system)

    @property
    def seen(self) -> Evidence:
        """What has been read."""
        return self._gatherer.seen

    async def run(self) -> None:
        """Check everything."""
        gatherer = self._gatherer
        await gatherer.submissions()
        await gatherer.outcomes()
        await gatherer.traces()
        async for fields in results(self._system):
            self.judge_result(fields)
        await gatherer.aborted_results()
        await gatherer.state()
        self.judge()
        await self._positions()

    def judge(self) -> None:
        """Look at what has been read, after the results."""
        self._acknowledged()
        self._letters()
        self._plans()
        self._rows()

    def _acknowledged(self) -> None:
        """I1: the broker has what it said that it has, and strays were moved."""
        check, lying = self.findings.check, self.seen.lying
        for place, plan_id in self._load.acknowledged.items():
            there = place in lying and lying[place] == plan_id
            check(Invariant.LOST, there, f"{plan_id} is not at {place}")
        for stray, count in self.seen.strays.items():
            which = Invariant.LOST if count == 0 else Invariant.DUPLICATED
            check(which, count == 1, f"the stray {stray} was moved {count} times")

    def _letters(self) -> None:
        check, due = self.findings.check, self.seen.letters_due
        for source, reason in due.items():
            found = self.seen.letters.get(source, [])
            fits = len(found) == 1 or (AT_LEAST_ONCE in source[0] and found)
            if reason != "unreadable":
                fits = found == [reason]
            wrong = f"{source} should be rejected ({reason}), is by {found}"
            check(Invariant.LETTERS, bool(fits), wrong)
        for source in self.seen.letters.keys() - due.keys():
            why = self.seen.letters[source]
            self.findings.note(Invariant.LETTERS, f"{source} was rejected: {why}")

    def judge_result(self, fields: Mapping[str, Any]) -> None:
        """I2, I4: how one plan ended."""
        plan_id = fields["plan_id"]
        self.seen.statuses[plan_id].append(str(fields["status"]))
        if (made := self._load.made.get(plan_id)) is None:
            return
        wrong = [*_misfits(made, fields), *self._untrue(made, fields)]
        about = f"{made.kind} {plan_id} {'; '.join(wrong)}: {fields}"[:900]
        self.findings.check(Invariant.TRUE, not wrong, about)
        if fields["status"] == Status.SUCCESS:
            missing = set(made.steps) - fields["result_payload"].keys()
            about = f"{made.kind} {plan_id} succeeded without {missing}"
            self.findings.check(Invariant.WHOLE, not missing, about)

    def _untrue(self, made: Made, fields: Mapping[str, Any]) -> list[str]:
        payload, steps = fields["result_payload"], self.seen.trails.steps
        found = [
            f"has a result of step {step_id} that it never returned"
            for step_id, value in payload.items()
            if hash(value) not in steps.get(step_id, NOBODY).returned
        ]
        if fields["status"] == Status.PARTIAL:
            found += [
                f"lacks step {step_id}, which never failed"
                for step_id in made.steps
                if step_id not in payload and not steps.get(step_id, NOBODY).failures
            ]
        return found

    def _plans(self) -> None:
        findings, seen = self.findings, self.seen
        for plan_id in seen.first:
            made = self._load.made.get(plan_id)
            if made is None:
                findings.note(Invariant.TRUE, f"{plan_id} was submitted by nobody")
                continue
            about = f"{made.kind} {plan_id}"
            count = len(seen.statuses.get(plan_id, ()))
            findings.check(Invariant.LOST, count > 0, f"{about} has no result")
            many = f"{about} has {count} results"
            findings.check(Invariant.DUPLICATED, count < 2, many)
            self._in_time(made, about)
            self._traces(plan_id, about)
            self._order(made)
        for plan_id in seen.statuses.keys() - seen.first.keys():
            text = f"the result of {plan_id} belongs to no submission"
            findings.note(Invariant.DUPLICATED, text)

    def _in_time(self, made: Made, about: str) -> None:
        """I5: by this program's clock, and when a consumer could see the result."""
        late_ms = self.late_ms(made)
        in_time = late_ms is not None and late_ms <= TAKEOVER_MS
        text = f"{about} was seen {late_ms} ms after its deadline"
        self.findings.check(Invariant.STUCK, in_time, text)

    def late_ms(self, made: Made) -> int | None:
        """How long after its deadline a plan's result was seen; None for never."""
        seen_at = self._follower.seen.get(made.plan_id)
        return None if seen_at is None else seen_at - made.deadline_ms

    def _traces(self, plan_id: str, about: str) -> None:
        """Audits come with results, events at most once, and say the same."""
        statuses = self.seen.statuses.get(plan_id, [])
        audits = self.seen.audits.get(plan_id, [])
        events = self.seen.events.get(plan_id, [])
        # A plan that is refused has no steps to halt.
        halts = self.seen.halts[plan_id]
        fits = (
            audits == statuses
            and events in ([], statuses)
            and halts <= statuses.count(Status.FAILURE)
        )
        text = f"{about} ended in {statuses}, audits {audits}, events {events}"
        self.findings.check(Invariant.TRACES, fits, f"{text}, {halts} halts")

    def _order(self, made: Made) -> None:
        """I3: by the order of the log, and by the clocks that were left alone."""
        steps = self.seen.trails.steps
        for step_id, needs in zip(made.steps, made.needs, strict=True):
            trail = steps.get(step_id)
            for needed in needs if trail else ():
                other = steps.get(made.steps[needed], NOBODY)
                text = f"{made.kind}: {step_id} {trail} before {other}"
                self.findings.check(Invariant.ORDER, _follows(trail, other), text)

    def _rows(self) -> None:
        seen = self.seen
        came = [each for each in seen.orphans if each in seen.first]
        left = seen.rows - Counter(orphans=len(seen.orphans) - len(came))
        self.findings.check(Invariant.ROWS, not left, f"rows are left: {dict(left)}")

    async def _positions(self) -> None:
        behind = await self._follower.lag()
        text = f"{behind} records are beyond the positions"
        self.findings.check(Invariant.POSITIONS, not behind, text)


def _misfits(made: Made, fields: Mapping[str, Any]) -> list[str]:
    """What about a result is not as its plan must end."""
    ending, executed = made.ending, fields["steps_executed"]
    code = None if fields["error"] is None else fields["error"]["error_code"]
    found = []
    if fields["status"] != ending.status:
        found.append(f"should be {ending.status}")
    if ending.completed not in {None, executed}:
        found.append(f"should have {ending.completed} completed steps")
    if code not in (ending.codes or {None}):
        found.append(f"should have one of the codes {ending.codes}")
    counts = (len(fields["result_payload"]), len(made.steps))
    if (executed, fields["steps_total"]) != counts:
        found.append("counts its steps wrongly")
    return found


def _follows(trail: StepTrail | None, needed: StepTrail) -> bool:
    if trail is None:
        return True
    if needed.completed_at is None or trail.told_at < needed.completed_at:
        return False
    if trail.began is None or needed.completed is None:
        return True
    return trail.began >= needed.completed
