"""What the orchestrator must not do (§6), and in which order workers begin (R40)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from streams.conformance.cases import (
    ANY,
    Case,
    Check,
    Err,
    Finding,
    Moment,
    Phase,
    Sent,
    case,
    failure,
    success,
)
from streams.conformance.making import (
    PLAIN,
    changed,
    fails,
    gives,
    named,
    new_id,
    plan,
    sleeps,
    step,
    submission,
    tells,
)

_DECISIVE = (
    None,
    False,
    0,
    "",
    "skip",
    "halt",
    {"error_code": "X", "on_failure": "skip"},
)


def retries() -> Iterator[Case]:
    """§6.1: a plan that fails is not begun again, whatever its retry policy says."""
    every = ["NO", "EXECUTION_HALTED", "STEP_ERROR"]
    yield case(
        "a plan that fails is not retried",
        "§6.1 §5.3",
        submission(
            step("a"),
            step("bad", fails("NO"), after=("a",), on_failure="halt"),
            retry_policy={"max_attempts": 9, "retryable_error_codes": every},
        ),
        failure(
            Err("EXECUTION_HALTED", step="bad", cause=Err("NO", "error", "bad")),
            log={"a": ("ok",), "bad": ("NO",)},
        ),
        _requests(2),
    )


def _requests(count: int) -> Check:
    def check(finding: Finding) -> Iterator[str]:
        asked = {(each.step_id, each.attempt) for each in finding.seen.requests}
        if len(asked) != count:
            yield f"{len(asked)} attempts were requested, not {count}"

    return check


def dependencies() -> Iterator[Case]:
    """§6.3, §6.8, §6.10: what payloads and results say leads to nothing."""
    mention = {"attempts": [gives(1)], "after": named("slow"), "depends_on": ["slow"]}
    made = submission(step("slow", sleeps(2500)), step("b", payload=mention))

    def beside(finding: Finding) -> Iterator[str]:
        done = finding.seen.succeeded()
        slow, other = done[named("slow")][0], done[named("b")][0]
        if other.started_at >= slow.ended_at:
            yield "§6.3: a step waited for another that its payload mentions"

    yield case(
        "a payload that mentions another step",
        "§6.3 R9",
        made,
        success(results={"slow": "done", "b": 1}),
        beside,
        phase=Phase.QUIET,
    )
    wants = {"attempts": [tells("payload")], "from": {"$ref": named("a")}}
    yield case(
        "results do not reach payloads",
        "§6.8 §6.16",
        submission(step("a", gives({"x": 1})), step("b", payload=wants, after=("a",))),
        success(results={"a": {"x": 1}, "b": wants}),
    )
    chain = [step("s0", gives(_DECISIVE[0]))]
    for number, value in enumerate(_DECISIVE[1:], 1):
        chain.append(step(f"s{number}", gives(value), after=(f"s{number - 1}",)))
    yield case(
        "results decide nothing",
        "§6.10 §6.16",
        submission(*chain),
        success(results={f"s{n}": value for n, value in enumerate(_DECISIVE)}),
    )


def plans() -> Iterator[Case]:
    """§6.4, §6.5, §6.12, §6.13, §6.15: plans that look like more than they are."""
    inner = plan(step("x"))
    yield case(
        "a payload that holds a plan",
        "§6.5",
        submission(step("a", payload={"plan": inner, "environment": {"where": 1}})),
        success(results={"a": ANY}),
        _never(inner["id"]),
    )
    first = submission(step("a"), step("b"))
    second = changed(first, "plan.id", new_id())
    second = changed(second, "execution_id", new_id())

    def ran(finding: Finding) -> Iterator[str]:
        trails = finding.ledger.trails
        one, other = trails[first["plan"]["id"]], trails[second["plan"]["id"]]
        tokens = [
            json.loads(text)
            for seen in (one, other)
            for text in seen.results[0].result_payload.values()
        ]
        if len(set(tokens)) < len(tokens):
            yield f"§6.15: runs of their own returned {tokens}"

    yield case("an equal plan, the first", "§6.15 §6.13", first, success(total=2))
    yield case(
        "an equal plan, the second",
        "§6.15 §6.13",
        second,
        success(total=2),
        ran,
        children=(first["plan"]["id"],),
    )
    bad = submission(step("a", fails("NO")), step("b", after=("a",)))
    good = changed(bad, "plan.steps[0].payload", {})
    good = changed(changed(good, "plan.id", new_id()), "execution_id", new_id())
    yield case(
        "a plan that succeeds beside one with the same step ids",
        "§6.13",
        good,
        success(total=2),
    )
    yield case(
        "a plan that fails beside one with the same step ids",
        "§6.13",
        bad,
        failure(Err("EXECUTION_HALTED", step="a", cause=ANY)),
    )
    asks = b'{"cancel": true}'
    yield case(
        "a request to cancel",
        "§6.14 R38",
        submission(step("a", [*sleeps(1000), *gives(1)])),
        success(results={"a": 1}),
        then=(
            Sent(asks, "INVALID_ID", when=Moment.AT_ONCE),
            Sent(None, "MALFORMED"),
        ),
    )


def _never(plan_id: str) -> Check:
    def check(finding: Finding) -> Iterator[str]:
        seen = finding.ledger.trails[plan_id]
        if seen.results or seen.requests:
            yield "§6.5: the plan in the payload was run"

    return check


def priorities() -> Iterator[Case]:
    """R40: the request with the highest priority is the next to begin."""
    many = [step(f"s{n}", action=PLAIN, payload={"ms": 120}) for n in range(120)]
    low = submission(*many)
    high = submission(step("urgent", action=PLAIN, payload={"ms": 1}), priority=10)

    def overtakes(finding: Finding) -> Iterator[str]:
        (urgent,) = finding.ledger.trails[high["plan"]["id"]].succeeded().values()
        begun = [
            each[0].started_at
            for each in finding.seen.succeeded().values()
            if each[0].worker == urgent[0].worker
        ]
        if begun and not any(at > urgent[0].started_at for at in begun):
            yield "R40: the request of priority 10 began after all of priority 0"

    yield case(
        "a plan of priority 10 beside one of 0",
        "R40 §1",
        low,
        success(total=120),
        overtakes,
        phase=Phase.QUIET,
        then=(Sent(high, when=Moment.BEGUN, key=high["plan"]["id"].encode()),),
        children=(high["plan"]["id"],),
    )


def prohibitions() -> Iterator[Case]:
    """All of these."""
    for make in (retries, dependencies, plans, priorities):
        yield from make()
