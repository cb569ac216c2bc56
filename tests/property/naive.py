"""A naive telling of the contract: what a history of events must have led to.

It knows nothing of agents.core. It keeps no counters and no tables: it scans the whole
plan after each event, and is told the whole history again each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

FATAL_CODES = {"UNKNOWN_ERROR", "RESOURCE_EXHAUSTED", "ACTION_NOT_FOUND"}
OVER = ("done", "failed", "skipped")
Node = dict[str, Any]


@dataclass(frozen=True)
class NaivePlan:
    """A plan in plain values; steps are numbers."""

    needs: tuple[frozenset[int], ...]
    policies: tuple[str, ...]
    timeouts: tuple[int | None, ...]
    max_attempts: int = 1
    codes: frozenset[str] = frozenset()
    backoff_ms: int = 0
    multiplier: float = 1.0
    max_backoff_ms: int = 60_000
    max_deliveries: int = 2
    max_bytes: int = 10


@dataclass
class Story:
    """Where a plan stands after its history."""

    plan: NaivePlan
    where: list[str] = field(default_factory=list)
    attempt: list[int] = field(default_factory=list)
    starts: dict[int, list[str]] = field(default_factory=dict)
    due: dict[int, int] = field(default_factory=dict)
    errors: dict[int, list[Node]] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)
    warned: set[tuple[Any, ...]] = field(default_factory=set)
    requests: list[tuple[int, int]] = field(default_factory=list)
    retry_at: int | None = None
    counted: bool = False
    ended: dict[str, Any] | None = None

    def take(self, now: int, kind: str, *facts: Any) -> None:
        """Go on by one event."""
        self.requests, self.retry_at, self.counted = [], None, False
        if self.ended is None:
            getattr(self, f"on_{kind}")(now, *facts)

    def request_ready(self) -> None:
        """Ask for every step that waits although all it needs is done."""
        for step, where in enumerate(self.where):
            if where == "waiting" and all(
                self.where[need] == "done" for need in self.plan.needs[step]
            ):
                self.where[step] = "asked"
                self.requests.append((step, 1))

    def is_running(self, step: int, attempt: int) -> bool:
        """Whether an outcome of this attempt is still awaited."""
        is_out = self.where[step] in ("asked", "running")
        return is_out and self.attempt[step] == attempt

    # -- events

    def on_succeed(self, now: int, step: int, attempt: int, size: int) -> None:
        """An attempt completed."""
        if not self.is_running(step, attempt):
            return
        self.counted = True
        if size and sum(self.sizes.values()) + size > self.plan.max_bytes:
            self.broke(now, step, "RESOURCE_EXHAUSTED", "fatal")
            return
        self.where[step], self.sizes[step] = "done", size
        self.request_ready()
        self.maybe_finish()

    def on_fail(
        self, now: int, step: int, attempt: int, code: str, severity: str
    ) -> None:
        """An attempt failed."""
        if self.is_running(step, attempt):
            self.counted = True
            self.broke(now, step, code, severity)

    def on_start(
        self, now: int, step: int, attempt: int, start_id: str, elapsed_ms: int
    ) -> None:
        """An attempt was started."""
        starts = self.starts.get(step, [])
        if not self.is_running(step, attempt) or start_id in starts:
            return
        self.counted = True
        if len(starts) == self.plan.max_deliveries:
            self.broke(now, step, "UNKNOWN_ERROR", "fatal")
            return
        self.where[step] = "running"
        self.starts[step] = [*starts, start_id]
        timeout_ms = self.plan.timeouts[step]
        if timeout_ms is not None:
            self.due[step] = max(now, now - elapsed_ms + timeout_ms + 1000)

    def on_warn(self, _: int, step: int, attempt: int, text: str) -> None:
        """A handler warns."""
        if self.is_running(step, attempt) and (step, text) not in self.warned:
            self.counted = True
            self.warned.add((step, text))

    def on_step_limit(self, now: int, step: int, attempt: int) -> None:
        """The limit of a step's attempt fired; too early when it was armed anew."""
        if self.where[step] != "running" or self.attempt[step] != attempt:
            return
        if step in self.due:
            self.counted = True
            if now >= self.due[step]:
                self.broke(now, step, "STEP_TIMEOUT", "error")

    def on_retry(self, _: int, step: int, attempt: int) -> None:
        """A backoff is over."""
        if self.where[step] == "paused" and self.attempt[step] == attempt:
            self.counted = True
            self.where[step] = "asked"
            self.requests.append((step, attempt))

    def on_plan_limit(self, _: int, code: str) -> None:
        """The plan ran out of time."""
        self.counted = True
        flying = [
            (step, self.attempt[step])
            for step, where in enumerate(self.where)
            if where in ("asked", "running")
        ]
        self.end("failure", node(code, "fatal", None, in_flight=flying), None)

    def on_parent(self, _: int, code: str) -> None:
        """The parent plan ended first."""
        self.counted = True
        cause = node(code, "fatal", None)
        self.end("failure", node("EXECUTION_HALTED", "fatal", None, cause), None)

    # -- what follows

    def broke(self, now: int, step: int, code: str, severity: str) -> None:
        """An attempt ended in an error (§4)."""
        plan, policy = self.plan, self.plan.policies[step]
        if code == "STEP_TIMEOUT":
            severity = "error" if code in plan.codes else "fatal"
        elif code in FATAL_CODES:
            severity = "fatal"
        self.errors.setdefault(step, []).append(node(code, severity, step))
        self.starts.pop(step, None)
        self.due.pop(step, None)
        if severity == "fatal":
            self.where[step] = "failed"
            self.order.append(step)
            self.end("failure", self.shown(step), step)
        elif policy == "halt":
            self.where[step] = "failed"
            self.order.append(step)
            cause = self.shown(step)
            self.end("failure", node("EXECUTION_HALTED", "fatal", step, cause), step)
        elif (
            policy == "retry"
            and code in plan.codes
            and self.attempt[step] < plan.max_attempts
        ):
            self.try_again(now, step)
        else:
            self.where[step] = "skipped" if policy == "skip" else "failed"
            self.order.append(step)
            self.go_on_without(step)

    def try_again(self, now: int, step: int) -> None:
        """Another attempt, after a while (§1.1)."""
        plan = self.plan
        self.attempt[step] += 1
        exact = plan.backoff_ms * Fraction(plan.multiplier) ** (self.attempt[step] - 2)
        delay_ms = int(min(exact, Fraction(plan.max_backoff_ms)))
        if delay_ms:
            self.where[step], self.retry_at = "paused", now + delay_ms
        else:
            self.where[step] = "asked"
            self.requests.append((step, self.attempt[step]))

    def go_on_without(self, step: int) -> None:
        """A step did not complete, and nobody may wait for it (R8)."""
        blocked = [
            other for other, needs in enumerate(self.plan.needs) if step in needs
        ]
        if blocked:
            cause = self.shown(step)
            found = node("DEPENDENCY_UNRESOLVED", "fatal", min(blocked), cause)
            self.end("failure", found, step)
        else:
            self.maybe_finish()

    def maybe_finish(self) -> None:
        """The plan ends when no step is left (§5.1, §5.2, R12)."""
        if any(where not in OVER for where in self.where):
            return
        if not self.order:
            self.end("success", None, None)
        elif "done" in self.where:
            self.end("partial", self.shown(self.order[0]), self.order[0])
        else:
            first = self.order[0]
            halted = node("EXECUTION_HALTED", "fatal", first, self.shown(first))
            self.end("failure", halted, first)

    def shown(self, step: int) -> Node:
        """A failed step's error (R17)."""
        *earlier, last = self.errors[step]
        found = dict(last)
        if earlier:
            found["attempts"] = earlier
        if self.where[step] == "skipped":
            return node("STEP_SKIPPED", "warn", step, found)
        return found

    def end(self, status: str, found: Node | None, primary: int | None) -> None:
        """The plan ends."""
        others = [step for step in self.order if step != primary]
        if found is not None and others:
            listed = [self.shown(step) for step in others]
            found = found | {"errors": listed, "errors_total": len(listed) + 1}
        done = {step for step, where in enumerate(self.where) if where == "done"}
        self.ended = {"status": status, "executed": done, "error": found}


def node(
    code: str, severity: str, step: int | None, cause: Node | None = None, **more: Any
) -> Node:
    """An error in plain values."""
    return {"code": code, "severity": severity, "step": step, "cause": cause, **more}


def tell(plan: NaivePlan, history: list[tuple[Any, ...]]) -> Story:
    """The story of a plan, from its admission on."""
    story = Story(plan, ["waiting"] * len(plan.needs), [1] * len(plan.needs))
    story.request_ready()
    for event in history:
        story.take(*event)
    return story
