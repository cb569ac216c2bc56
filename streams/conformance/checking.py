"""Compares what was published with what a case expects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.errors import ExecutionError
from schemas.results import PlanResult
from schemas.steps import StepFailed, StepSucceeded
from streams.conformance.cases import ANY, Case, Err, Expected, Finding
from streams.conformance.ends import context_of, faults_of_end
from streams.conformance.ledger import Seen
from streams.conformance.making import named


def faults(finding: Finding) -> Iterator[str]:
    """What is wrong with a case: one sentence for each thing."""
    case, seen = finding.case, finding.seen
    if case.expected is None:
        if seen.results or seen.audits or seen.events or seen.requests:
            yield "the plan has an outcome, or a step of it was requested"
    elif not seen.has_ended:
        yield f"the plan has not ended; seen so far: {_log(seen)}"
        return
    else:
        yield from faults_of_end(seen, _correlation(case))
        yield from _compare(case.expected, seen)
        if seen.results[0].execution_id != case.sent[0].value["execution_id"]:
            yield "§3: the result has another execution id"
        yield from _times(finding, seen.results[0])
    for check in case.checks:
        yield from check(finding)


def log_of(seen: Seen) -> dict[str, tuple[str, ...]]:
    """Each step's attempts, by id: how each ended, in the order of their numbers.

    An attempt that was delivered twice counts as what was told first.
    """
    ends: dict[str, dict[int, str]] = {}
    for each in seen.outcomes:
        if isinstance(each, StepSucceeded):
            ends.setdefault(each.step_id, {}).setdefault(each.attempt, "ok")
        elif isinstance(each, StepFailed):
            code = each.error.error_code
            ends.setdefault(each.step_id, {}).setdefault(each.attempt, code)
    return {
        step: tuple(attempts[number] for number in sorted(attempts))
        for step, attempts in ends.items()
    }


def _log(seen: Seen) -> str:
    return json.dumps(log_of(seen))


def _correlation(case: Case) -> Mapping[str, str]:
    made = case.sent[0].value
    found = made.get("correlation_context") if isinstance(made, dict) else None
    if not isinstance(found, dict):
        return {}
    texts = all(isinstance(each, str) for each in found.values())
    return found if texts else {}


def _times(finding: Finding, result: PlanResult) -> Iterator[str]:
    """§3, R32: the duration is counted from the submission's start, if it has one."""
    started = finding.started_at
    if started is None:
        if result.duration_ms != 0:
            yield f"R32: without a start the duration is {result.duration_ms}"
    elif result.duration_ms != result.completed_at - started:
        yield f"§3: duration {result.duration_ms}, {result.completed_at} - {started}"


def _compare(expected: Expected, seen: Seen) -> Iterator[str]:
    result = seen.results[0]
    if result.status is not expected.status:
        yield f"the status is {result.status.value}, not {expected.status.value}"
    yield from _compare_error(expected.error, result.error)
    if expected.results is not None:
        yield from _compare_results(expected.results, result)
    if expected.total is not None and result.steps_total != expected.total:
        yield f"steps_total is {result.steps_total}, not {expected.total}"
    if expected.violations is not None:
        yield from _compare_violations(expected.violations, result.error)
    yield from _compare_trace(expected, seen)


def _compare_results(wanted: Mapping[str, Any], result: PlanResult) -> Iterator[str]:
    wanted = {named(name): value for name, value in wanted.items()}
    found = {n: json.loads(text) for n, text in result.result_payload.items()}
    differ = [n for n in found if wanted.get(n, ANY) not in (ANY, found[n])]
    if differ or found.keys() != wanted.keys():
        yield f"the results are {_short(found)}, not {_short(wanted)}"


def _compare_trace(expected: Expected, seen: Seen) -> Iterator[str]:
    audit = seen.audits[0]
    if expected.log is not None:
        log = {named(name): ends for name, ends in expected.log.items()}
        if log_of(seen) != log:
            yield f"the attempts were {_log(seen)}, not {json.dumps(log)}"
    if expected.incomplete is not None:
        steps = {named(name) for name in expected.incomplete}
        if set(audit.incomplete_steps) != steps:
            yield f"the incomplete steps are {audit.incomplete_steps}, not {steps}"
    if expected.warnings is not None:
        warnings = {(named(step), code) for step, code in expected.warnings}
        found_warnings = {(each.step_id, each.code) for each in audit.warnings}
        if found_warnings != warnings:
            yield f"the warnings are {found_warnings}, not {warnings}"


def _compare_violations(
    expected: tuple[tuple[str, str], ...], error: ExecutionError | None
) -> Iterator[str]:
    context = {} if error is None else context_of(error)
    listed = context.get("violations", [])
    found = tuple((each["path"], each["class"]) for each in listed)
    if found != expected:
        yield f"the violations are {found}, not {expected}"
    if context.get("violations_total") != len(expected):
        yield f"violations_total is {context.get('violations_total')}"


def _compare_error(expected: Any, found: ExecutionError | None) -> Iterator[str]:
    if expected is ANY:
        return
    if expected is None or found is None:
        if expected is not found:
            yield f"the error is {_shown(found)}, not {expected}"
        return
    step = named(expected.step) if isinstance(expected.step, str) else None
    if (found.error_code, found.severity.value) != (expected.code, expected.severity):
        yield f"the error is {_shown(found)}, not {expected.code}, {expected.severity}"
    if expected.step is not ANY and found.step_id != step:
        yield f"the error's step is {found.step_id}, not {step} ({expected.step})"
    yield from _compare_error(expected.cause, found.cause)
    yield from _compare_others(expected, found)


def _compare_others(expected: Err, found: ExecutionError) -> Iterator[str]:
    if expected.others is None:
        return
    context = context_of(found)
    others = context.get("errors", [])
    wanted = [(each.code, named(each.step)) for each in expected.others]
    if [(each["error_code"], each["step_id"]) for each in others] != wanted:
        yield f"R19: the other errors are {_short(others)}, not {wanted}"
    total = len(wanted) + 1 if wanted else None
    if context.get("errors_total") != total:
        yield f"R19: errors_total is {context.get('errors_total')}, not {total}"


def _shown(error: ExecutionError | None) -> str:
    if error is None:
        return "none"
    return f"{error.error_code}, {error.severity.value} ({error.message})"


def _short(value: Any) -> str:
    return f"{json.dumps(value, default=str):.300}"
