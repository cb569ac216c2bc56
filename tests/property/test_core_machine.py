"""Any plan, any order of events, any crash: one outcome, and the right one."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis import event as note_that
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from agents.core import commands as core
from agents.core import events
from agents.core.folding import Bounds, begin, fold
from agents.core.progress import PlanProgress
from agents.core.recovery import restore, row_fields
from agents.core.states import IN_FLIGHT, PlanState, StepState
from agents.core.terms import PlanTerms
from schemas.commands import Limit
from schemas.errors import ExecutionError, Severity, make_error
from schemas.results import Status
from tests.property.naive import NaivePlan, Node, Story, tell
from tests.unit.core.plans import ADMITTED_AT, step, step_id, submission

STATES = {
    "waiting": StepState.WAITING,
    "asked": StepState.REQUESTED,
    "running": StepState.RUNNING,
    "paused": StepState.BACKING_OFF,
    "done": StepState.COMPLETED,
    "failed": StepState.FAILED,
    "skipped": StepState.SKIPPED,
}
PICK = st.integers(0, 10_000)
LISTED, UNLISTED = ("A", "error"), ("B", "error")
FATAL = [("A", "fatal"), ("UNKNOWN_ERROR", "error"), ("STEP_TIMEOUT", "error")]
CODES = st.sampled_from([*[LISTED] * 20, *[UNLISTED] * 3, *FATAL])
FATES = st.lists(
    st.sampled_from([None, None, LISTED, UNLISTED]), min_size=6, max_size=6
)
MAX_LATE = 2
ODDITIES = ["surprise", "surprise", "repeat", "repeat", "warning", "end"]
CODE_SETS = st.sampled_from(
    [{"A"}, {"A", "STEP_TIMEOUT"}, {"A", "UNKNOWN_ERROR"}, {"STEP_TIMEOUT"}]
).map(frozenset)
POLICIES = st.sampled_from(["retry", "retry", "retry", "retry", "skip", "skip", "halt"])


@st.composite
def naive_plans(draw: st.DrawFn) -> NaivePlan:
    """Plans of a few steps; a dependency may stand anywhere in the list."""
    count = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 6, 6]))
    order = draw(st.permutations(range(count)))
    needs: list[frozenset[int]] = [frozenset()] * count
    for place, number in enumerate(order):
        if place and draw(st.integers(0, 2)) == 2:
            candidates = st.sampled_from(order[:place])
            needs[number] = draw(st.frozensets(candidates, max_size=3))
    return NaivePlan(
        tuple(needs),
        tuple(draw(POLICIES) for _ in range(count)),
        tuple(draw(st.sampled_from([None, 50])) for _ in range(count)),
        max_attempts=draw(st.sampled_from([4, 3, 3, 2, 1])),
        codes=draw(CODE_SETS),
        backoff_ms=draw(st.sampled_from([0, 7, 1000, 1000])),
        multiplier=draw(st.sampled_from([1.0, 1.5, 3.0])),
        max_backoff_ms=draw(st.sampled_from([60_000, 60_000, 10, 0])),
    )


def terms_of(plan: NaivePlan) -> PlanTerms:
    """The same plan, as it would be submitted."""
    steps = [
        step(number, *sorted(needs), on_failure=policy, timeout_ms=timeout_ms)
        for number, (needs, policy, timeout_ms) in enumerate(
            zip(plan.needs, plan.policies, plan.timeouts, strict=True)
        )
    ]
    policy = {
        "max_attempts": plan.max_attempts,
        "backoff_ms": plan.backoff_ms,
        "backoff_multiplier": plan.multiplier,
        "max_backoff_ms": plan.max_backoff_ms,
        "retryable_error_codes": sorted(plan.codes),
    }
    return PlanTerms.of(submission(*steps, retry_policy=policy))


def as_node(found: ExecutionError | dict[str, Any] | None) -> Node | None:
    """An error in the naive story's words, its context included."""
    if found is None:
        return None
    if isinstance(found, ExecutionError):
        members = json.loads(found.context)
        found = {name: getattr(found, name) for name in ExecutionError.model_fields}
    else:
        members = found["context"]
    number = None if found["step_id"] is None else int(found["step_id"][-12:], 16)
    assert found["recoverable"] is (found["severity"] != "fatal")
    node: Node = {
        "code": str(found["error_code"]),
        "severity": str(found["severity"]),
        "step": number,
        "cause": as_node(found["cause"]),
    }
    for name in ("errors", "attempts"):
        if name in members:
            node[name] = [as_node(entry) for entry in members[name]]
    if "errors_total" in members:
        node["errors_total"] = members["errors_total"]
    if "in_flight" in members:
        node["in_flight"] = [
            (int(entry["step_id"][-12:], 16), entry["attempt"])
            for entry in members["in_flight"]
        ]
    return node


class CoreMachine(RuleBasedStateMachine):
    """One plan; its coordinator may die at any time, its step agents do what they like.

    What was folded since the last commit is lost in a crash, but not what was sent:
    requests and timers of lost folds go on to have effects.
    """

    @initialize(plan=naive_plans(), fates=FATES)
    def admit(self, plan: NaivePlan, fates: list[tuple[str, str] | None]) -> None:
        """The plan is admitted, and that is committed."""
        self.plan, self.terms, self.fates = plan, terms_of(plan), fates
        self.bounds = Bounds(plan.max_deliveries, plan.max_bytes)
        self.now = ADMITTED_AT
        self.progress = PlanProgress(self.terms, ADMITTED_AT)
        self.history: list[tuple[Any, ...]] = []
        self.rows: dict[int, dict[str, Any]] = {}
        self.outcome: core.PersistResult | None = None
        self.published: list[core.PersistResult] = []
        self.late = 0
        self.asked: list[tuple[int, int]] = []
        self.armed: list[core.ArmStepLimit | core.ArmRetry] = []
        self.log: list[tuple[events.Event, tuple[Any, ...]]] = []
        story = tell(plan, [])
        self.follow(begin(self.progress, self.now), story)
        self.commit()

    # -- what step agents and timers do

    @rule(pick=PICK, size=st.integers(0, 4))
    def succeed(self, pick: int, size: int) -> None:
        """An attempt that was ever asked for completes."""
        number, attempt = self.choose(pick)
        self.fold(
            events.Succeeded(number, attempt, size), "succeed", number, attempt, size
        )

    @rule(pick=PICK, failure=CODES)
    def fail(self, pick: int, failure: tuple[str, str]) -> None:
        """An attempt that was ever asked for fails."""
        number, attempt = self.choose(pick)
        self.fail_with(number, attempt, *failure)

    @rule(pick=PICK, who=st.sampled_from("aabc"), elapsed_ms=st.sampled_from([0, 100]))
    def start(self, pick: int, who: str, elapsed_ms: int) -> None:
        """A step agent announces an attempt, perhaps again, perhaps another agent."""
        number, attempt = self.choose(pick)
        event = events.Started(number, attempt, who, elapsed_ms)
        self.fold(event, "start", number, attempt, who, elapsed_ms)

    @rule(pick=PICK, is_due=st.booleans())
    def fire(self, pick: int, is_due: bool) -> None:
        """Something that was ever armed fires, in time or, being stale, too early."""
        if not self.armed:
            return
        armed = self.armed[-1 - pick % len(self.armed)]
        if is_due:
            self.now = max(self.now, armed.due_at)
        number, attempt = armed.step, armed.attempt
        if isinstance(armed, core.ArmRetry):
            event: events.Event = events.RetryFired(number, attempt)
            self.fold(event, "retry", number, attempt)
        else:
            event = events.LimitFired(Limit.STEP_TIMEOUT, number, attempt)
            self.fold(event, "step_limit", number, attempt)

    @rule(pick=PICK, what=st.sampled_from(ODDITIES), failure=CODES)
    def see_something_odd(self, pick: int, what: str, failure: tuple[str, str]) -> None:
        """Something happens that is rare, or should not."""
        if what == "warning":
            self.warn(pick)
        elif what == "surprise":
            self.surprise(pick, failure)
        elif what == "repeat" and self.log:
            event, facts = self.log[pick % len(self.log)]
            self.fold(event, *facts)
        elif what == "end" and pick % 8 == 1:
            self.end_early(pick)

    def warn(self, pick: int) -> None:
        """A handler warns."""
        number, attempt = self.choose(pick)
        text = f"warning {pick % 3}"
        event = events.Warned(number, attempt, "W", text, 1)
        self.fold(event, "warn", number, attempt, text)

    def surprise(self, pick: int, failure: tuple[str, str]) -> None:
        """An outcome arrives that nobody asked for, of the current attempt or so."""
        number = pick % len(self.plan.needs)
        attempt = self.progress.attempt(number) + pick // 8 % 3 - 1
        if pick // 24 % 2:
            event = events.Succeeded(number, attempt)
            self.fold(event, "succeed", number, attempt, 0)
        else:
            self.fail_with(number, attempt, *failure)

    def end_early(self, pick: int) -> None:
        """The plan runs out of time, or its parent ends."""
        error = make_error("PLAN_TIMEOUT", "too long")
        timeout = events.LimitFired(Limit.PLAN_TIMEOUT)
        deadline = events.LimitFired(Limit.DEADLINE)
        ends: list[tuple[events.Event, str, str]] = [
            (timeout, "plan_limit", "PLAN_TIMEOUT"),
            (deadline, "plan_limit", "DEADLINE_EXCEEDED"),
            (events.ParentEnded(error), "parent", "PLAN_TIMEOUT"),
        ]
        self.fold(*ends[pick // 8 % 3])

    # -- what happens to the coordinator

    @rule()
    def commit(self) -> None:
        """All that was folded is committed; an outcome is published."""
        self.committed = (dict(self.rows), list(self.history), self.outcome)
        if self.outcome is not None and not self.published:
            self.published.append(self.outcome)

    @rule()
    def crash(self) -> None:
        """The coordinator dies: what was not committed is lost."""
        rows, history, outcome = self.committed
        self.rows, self.history, self.outcome = dict(rows), list(history), outcome
        if outcome is None:
            self.progress = self.restored()

    # -- how it is carried out, and checked

    def choose(self, pick: int) -> tuple[int, int]:
        """An attempt in flight, now and then any that was ever asked for."""
        flying = [(n, self.progress.attempt(n)) for n in self.progress.in_flight()]
        attempts = flying if flying and pick % 4 else self.asked
        return attempts[pick // 4 % len(attempts)]

    def fail_with(self, number: int, attempt: int, code: str, severity: str) -> None:
        """Fold a failure."""
        error = make_error(code, "it broke", severity=Severity(severity))
        event = events.Failed(number, attempt, error)
        self.fold(event, "fail", number, attempt, code, severity)

    def fold(self, event: events.Event, *facts: Any) -> None:
        """Fold an event, and hold what follows against the naive story.

        After a few late events the next execution of the plan begins.
        """
        self.late += len(self.published)
        if self.late > MAX_LATE:
            self.admit(self.plan, self.fates)
            return
        self.now += 1
        self.log.append((event, facts))
        told = [*self.history, (self.now, *facts)]
        commands = fold(self.progress, event, self.now, self.bounds)
        story = tell(self.plan, told)
        assert bool(commands) is story.counted, (commands, story)
        if commands:
            self.history = told
            self.follow(commands, story)

    def follow(self, commands: list[core.Command], story: Story) -> None:
        """Carry out commands the way the shell does."""
        requests = [c for c in commands if isinstance(c, core.RequestStep)]
        retries = [c for c in commands if isinstance(c, core.ArmRetry)]
        assert [(r.step, r.attempt) for r in requests] == story.requests
        assert [r.due_at for r in retries] == (
            [] if story.retry_at is None else [story.retry_at]
        )
        for request in requests:
            self.check_request(request, story)
        self.asked += story.requests
        for command in commands:
            if isinstance(command, core.SaveStep):
                self.rows[command.step] = row_fields(
                    self.progress, command.step, self.now
                )
            elif isinstance(command, core.ArmStepLimit | core.ArmRetry):
                self.armed.append(command)
        self.check_outcome(commands, story)

    def check_request(self, request: core.RequestStep, story: Story) -> None:
        """§1.1, R9: not before its dependencies completed, and not too often."""
        succeeded = {
            facts[2]
            for facts in self.history
            if facts[1] == "succeed" and story.where[facts[2]] == "done"
        }
        assert self.plan.needs[request.step] <= succeeded
        assert 1 <= request.attempt <= self.plan.max_attempts

    def check_outcome(self, commands: list[core.Command], story: Story) -> None:
        """§5: at most one outcome, and the one that the history demands."""
        results = [c for c in commands if isinstance(c, core.PersistResult)]
        assert len(results) == (story.ended is not None)
        for result in results:
            assert self.outcome is None
            self.outcome = result
            assert story.ended == {
                "status": result.status.value,
                "executed": set(result.completed),
                "error": as_node(result.error),
            }
            self.check_rules(result)

    def check_rules(self, result: core.PersistResult) -> None:
        """§3, §5.1.1, §5.2.3, §5.3.2, §5.3.6."""
        executed, total = len(result.completed), result.steps_total
        is_success = result.status is Status.SUCCESS
        assert is_success is (executed == total)
        assert is_success is (result.error is None)
        if result.status is Status.PARTIAL:
            assert 1 <= executed < total
        if result.status is Status.FAILURE:
            assert result.error is not None
            assert result.error.severity is Severity.FATAL

    def restored(self) -> PlanProgress:
        """The progress that the rows stand for."""
        sizes = tell(self.plan, self.history).sizes
        size = sum(sizes.values())
        return restore(self.terms, ADMITTED_AT, self.rows.items(), size)

    @invariant()
    def states_are_those_of_the_story(self) -> None:
        """Every step stands where the history says."""
        if self.outcome is not None:
            return
        story = tell(self.plan, self.history)
        expected = [STATES[where] for where in story.where]
        assert list(self.progress.states) == expected
        attempts = [self.progress.attempt(n) for n in range(len(expected))]
        assert attempts == story.attempt

    @invariant()
    def rows_stand_for_the_progress(self) -> None:
        """R15: restore(row_fields) is where we are, at any moment."""
        if self.outcome is not None:
            return
        assert view(self.restored()) == view(self.progress)

    @invariant()
    def one_result_is_published_at_most(self) -> None:
        """§5: there is at most one terminal result, ever, whatever crashes."""
        assert len(self.published) <= 1
        if self.published:
            assert self.outcome == self.published[0]

    def teardown(self) -> None:
        """Whatever happened: when all requests are answered, the plan ends."""
        if not hasattr(self, "plan"):
            return
        for _ in range(100):
            if self.outcome is not None:
                break
            self.answer_all()
        assert self.outcome is not None
        assert self.progress.state is not PlanState.OPEN or self.published
        code = "" if self.outcome.error is None else self.outcome.error.error_code
        note_that(f"{self.outcome.status} {code}")

    def answer_all(self) -> None:
        """Every attempt in flight meets its fate, every backoff comes to its end."""
        for number in range(len(self.plan.needs)):
            attempt = self.progress.attempt(number)
            if self.progress.states[number] == StepState.BACKING_OFF:
                event: events.Event = events.RetryFired(number, attempt)
                self.fold(event, "retry", number, attempt)
            elif self.progress.states[number] not in IN_FLIGHT:
                continue
            elif (fate := self.fates[number]) is not None:
                self.fail_with(number, attempt, *fate)
            else:
                event = events.Succeeded(number, attempt)
                self.fold(event, "succeed", number, attempt, 0)


def view(progress: PlanProgress) -> tuple[Any, ...]:
    """All that decides what a plan does next."""
    count = progress.terms.steps_total
    rows = [row_fields(progress, number, 0) for number in range(count)]
    counters = (progress.unfinished, progress.completed, progress.warned)
    kept = (list(progress.missing), list(progress.failures), progress.result_size)
    return rows, counters, kept, progress.state


assert step_id(5).endswith("5")  # as_node reads the number back from it

TestCoreMachine = CoreMachine.TestCase
TestCoreMachine.settings = settings(
    max_examples=500,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
