"""What handlers may return and be told, and what becomes of it (R21, R22, R25-R30)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from streams.config import Settings
from streams.conformance.cases import (
    ANY,
    Case,
    Err,
    Finding,
    Phase,
    case,
    failure,
    refused,
    success,
)
from streams.conformance.ends import context_of
from streams.conformance.making import (
    PLAIN,
    TYPED,
    Raw,
    gives,
    named,
    odd,
    raises,
    sleeps,
    step,
    submission,
    tells,
)

RETURNED: Final[dict[str, Any]] = {
    "tuple": [1, [2]],
    "none": None,
    "huge int": 10**40,
    "model": {"card": "c", "cents": 1},
    "dataclass": {"x": 1, "y": [2, 3]},
}
"""R27: what is kept, and as what."""
UNFIT: Final = ("nan", "bytes", "set", "keys")


def results(settings: Settings) -> Iterator[Case]:
    """R22, R27: what a handler may return."""
    for kind, value in RETURNED.items():
        yield case(
            f"a handler returns: {kind}",
            "R27",
            submission(step("a", odd(kind))),
            success(results={"a": value}),
        )
    for kind in UNFIT:
        yield case(
            f"a handler returns: {kind}",
            "R27 R22 §4",
            submission(step("a"), step("bad", odd(kind), after=("a",))),
            failure(Err("UNKNOWN_ERROR", step="bad"), results={"a": ANY}),
        )
    most = settings.max_step_result_bytes
    large = step("bad", odd("long"), after=("a",))
    large["payload"]["bytes"] = most
    yield case(
        "the largest result",
        "R22",
        submission(step("a"), large),
        success(total=2),
    )
    larger = step("bad", odd("long"), after=("a",), on_failure="skip")
    larger["payload"]["bytes"] = most + 1
    yield case(
        "a larger result",
        "R22 §4",
        submission(step("a"), larger),
        failure(Err("RESOURCE_EXHAUSTED", step="bad"), results={"a": ANY}),
    )
    yield case(
        "a handler runs out of memory",
        "R26 §4",
        submission(step("bad", raises("MemoryError"), on_failure="skip")),
        failure(Err("RESOURCE_EXHAUSTED", step="bad")),
    )


def payloads() -> Iterator[Case]:
    """§4: payloads that fit their handlers, and others."""
    sound = step("a", action=TYPED, payload={"card": "c-1", "cents": 5})
    yield case(
        "a payload that fits",
        "R27 §4",
        submission(sound),
        success(results={"a": {"card": "c-1", "cents": 5}}),
    )
    unfit = step("a", action=TYPED, payload={"card": 4}, on_failure="skip")
    yield case(
        "a payload that does not fit its handler",
        "§4",
        submission(unfit),
        failure(Err("INVALID_PAYLOAD", step="a"), results={}),
    )
    yield case(
        "an action that nobody has",
        "§4 R23",
        submission(
            step("slow", sleeps(60_000)),
            step("a", action="conformance-unknown", on_failure="skip"),
        ),
        failure(Err("ACTION_NOT_FOUND", step="a"), results={}),
    )
    yield case(
        "a plain function",
        "R27",
        submission(step("a", action=PLAIN, payload={"ms": 5})),
        success(results={"a": ANY}),
    )


def diagnostics() -> Iterator[Case]:
    """R21, §6.7: what an error's context has, and how long messages and chains are."""
    yield case(
        "diagnostics",
        "R21 §6.7 §3.1",
        submission(step("a", raises("KeyError"))),
        failure(Err("EXECUTION_HALTED", step="a", cause=ANY)),
        _has_diagnostics,
    )
    yield case(
        "a long message",
        "R21 §3.1",
        submission(step("a", odd("long message"))),
        failure(Err("EXECUTION_HALTED", step="a", cause=Err("LONG", "error", "a"))),
        _is_cut,
    )
    yield case(
        "a long chain of causes",
        "R21",
        submission(step("a", odd("causes"))),
        failure(Err("EXECUTION_HALTED", step="a", cause=ANY)),
        _has_sixteen,
    )


def _cause(finding: Finding) -> Any:
    error = finding.seen.results[0].error
    return None if error is None else error.cause


def _has_diagnostics(finding: Finding) -> Iterator[str]:
    context = context_of(_cause(finding))
    # `delivery` too where the coordinator has counted it: see R29.
    wanted = {"attempt", "worker", "exception", "frames", "started_at", "ended_at"}
    if missing := wanted - context.keys():
        yield f"R21: the context lacks {sorted(missing)}"


def _is_cut(finding: Finding) -> Iterator[str]:
    message = _cause(finding).message
    if (len(message), message.endswith("]"), " …[+" in message) != (1000, True, True):
        yield f"R21: a message of {len(message)} ends in {message[-20:]!r}"
        return
    kept, _, mark = message.rpartition(" …[+")
    if len(kept) + int(mark.rstrip("]")) != 2500:
        yield f"R21: {len(kept)} characters kept, marked {mark}"


def _has_sixteen(finding: Finding) -> Iterator[str]:
    chain = [finding.seen.results[0].error]
    while chain[-1] is not None:
        chain.append(chain[-1].cause)
    *chain, _ = chain
    if len(chain) != 16:
        yield f"R21: a chain of {len(chain)}"
    elif chain[-1] is None or "causes_cut" not in context_of(chain[-1]):
        yield "R21: the cut is not marked"


def privacy() -> Iterator[Case]:
    """F12, R28, §6.8: payload and environment reach each attempt as submitted."""
    environment = {"where": "here", "mutable": [1], "big": 10**40, "none": None}
    members = {"environment": environment}
    yield case(
        "a handler changes what it was given",
        "R28 §6.2",
        submission(
            step("a", odd("meddle"), tells("environment"), on_failure="retry"),
            step("b", tells("environment"), after=("a",)),
            step("c", tells("payload"), after=("a",)),
            members=members,
            retry_policy={"max_attempts": 2, "retryable_error_codes": ["MEDDLED"]},
        ),
        success(
            results={
                "a": environment,
                "b": environment,
                "c": {"attempts": [tells("payload")]},
            }
        ),
    )
    who = {"user_id": "u", "request_id": "r", "correlation_context": {"trace": "t"}}
    made = submission(step("a", tells("who")), members=who)
    told = {
        "plan_id": made["plan"]["id"],
        "execution_id": made["execution_id"],
        "step_id": named("a"),
        "attempt": 1,
        **who,
    }
    yield case("what a handler is told", "§2 R41", made, success(results={"a": told}))


def clocks() -> Iterator[Case]:
    """R29, R30: handlers that do not end, and processes that die."""
    yield case(
        "a handler that takes no notice of its cancellation",
        "R30 §6.9",
        submission(
            step("a", [["cling", 8000]], gives(2), timeout_ms=400, on_failure="retry"),
            retry_policy={"max_attempts": 2, "retryable_error_codes": ["STEP_TIMEOUT"]},
        ),
        success(results={"a": 2}, log={"a": ("STEP_TIMEOUT", "ok")}),
        _is_on_time,
        phase=Phase.QUIET,
    )
    yield case(
        "workers that die under an attempt",
        "R29 §4",
        submission(step("a", odd("die"), on_failure="skip")),
        failure(Err("UNKNOWN_ERROR", step="a")),
        phase=Phase.HARM,
    )


def _is_on_time(finding: Finding) -> Iterator[str]:
    failed = finding.seen.failed()[0]
    took = failed.ended_at - failed.started_at
    done = finding.seen.succeeded()[named("a")][0]
    if not 398 <= took < 4000:
        yield f"R30: the timeout of 400 ms was told after {took} ms"
    if done.started_at - failed.started_at > 6000:
        yield "R30: the next attempt waited for the end of the handler"


def opaque() -> Iterator[Case]:
    """F11, F12, §6.16, §6.10: nobody but the handler looks at values."""
    texts = {
        "where": '{ "ü" : "\\u00fc" , "n":[ 1.50E+2 , -0.0 ] }',
        "token": '"hunter2"',
    }
    payload = '{ "attempts" : [] , "big":123456789012345678901234567890 }'
    made = submission(
        step("a", payload=Raw(payload)),
        members={"environment": {name: Raw(text) for name, text in texts.items()}},
    )

    def arrives(finding: Finding) -> Iterator[str]:
        request = finding.request(named("a"))
        if request.payload != payload:
            yield f"F12: the payload arrives as {request.payload}"
        if dict(request.environment) != texts:
            yield f"F12: the environment arrives as {request.environment}"

    yield case("opaque values", "§2 §6.16", made, success(total=1), arrives)
    secret = submission(
        step("a", action=""), members={"environment": {"secret": "hunter2"}}
    )

    def is_kept(finding: Finding) -> Iterator[str]:
        if "hunter2" in finding.seen.results[0].model_dump_json():
            yield "R35: an opaque value is shown"

    yield case("a refusal shows no values", "R35", secret, _both(), is_kept)


def _both() -> Any:
    return refused(
        "INVALID_PAYLOAD",
        ("plan.steps[0].action", "schema"),
        ("environment.where", "environment"),
    )


def handlers(settings: Settings) -> Iterator[Case]:
    """All of these."""
    yield from results(settings)
    for make in (payloads, diagnostics, privacy, clocks, opaque):
        yield from make()
