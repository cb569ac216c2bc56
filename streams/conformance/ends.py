"""What holds of every end, whatever the plan: §3, §5 and R41."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.errors import ExecutionError
from schemas.results import PlanResult, Status
from streams.conformance.ledger import Seen

ACTIONS: Final[Mapping[Status, str]] = {
    Status.SUCCESS: "validate_completion capture_metadata set_status_success "
    "persist_result emit_plan_execution_success mark_completed_in_registry "
    "release_resources return_result",
    Status.PARTIAL: "classify_failure aggregate_errors validate_partial_execution "
    "preserve_completed_output capture_metadata set_status_partial persist_result "
    "emit_plan_execution_partial record_incomplete_steps return_result",
    Status.FAILURE: "identify_cause assert_severity_fatal halt_in_flight_steps "
    "capture_failure_context keep_completed_results validate_execution_count "
    "set_error set_status_failure persist_result emit_plan_execution_failure "
    "release_resources notify_error_handler return_result",
}
"""The actions of §5.1, §5.2 and §5.3, in their order."""
SEVERITIES: Final[Mapping[str, frozenset[str]]] = {
    "CONTEXT_MISSING": frozenset({"fatal"}),
    "INVALID_PAYLOAD": frozenset({"fatal"}),
    "STEP_TIMEOUT": frozenset({"error", "fatal"}),
    "PLAN_TIMEOUT": frozenset({"fatal"}),
    "DEADLINE_EXCEEDED": frozenset({"fatal"}),
    "DEPENDENCY_UNRESOLVED": frozenset({"fatal"}),
    "ACTION_NOT_FOUND": frozenset({"fatal"}),
    "RESOURCE_EXHAUSTED": frozenset({"fatal"}),
    "EXECUTION_HALTED": frozenset({"fatal"}),
    "STEP_SKIPPED": frozenset({"warn"}),
    "UNKNOWN_ERROR": frozenset({"fatal"}),
}
"""What §4 says of the eleven codes; a handler's own have `error` or `fatal`."""
_OWN: Final = frozenset({"error", "fatal"})


def faults_of_end(seen: Seen, correlation: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with what was published of a plan that has ended."""
    counts = (len(seen.results), len(seen.audits), len(seen.events))
    if counts != (1, 1, 1):
        yield f"results, audits and events are {counts}, not one of each"
        return
    result = seen.results[0]
    yield from _faults_of_result(result)
    yield from _faults_of_audit(seen, result)
    yield from _faults_of_event(seen, result)
    yield from _faults_of_record(seen, result, correlation)


def context_of(error: ExecutionError) -> dict[str, Any]:
    """An error's diagnostics."""
    context: dict[str, Any] = json.loads(error.context)
    return context


def _faults_of_result(result: PlanResult) -> Iterator[str]:
    executed, total = result.steps_executed, result.steps_total
    if len(result.result_payload) != executed:
        yield f"§3: {len(result.result_payload)} results of {executed} steps"
    if (result.error is None) != (result.status is Status.SUCCESS):
        yield f"§3: status {result.status} with error {result.error}"
    allowed = {
        Status.SUCCESS: executed == total > 0,
        Status.PARTIAL: 1 <= executed < total,
        Status.FAILURE: executed < total or executed == 0,
    }
    if not allowed[result.status]:
        yield f"§5: {result.status} with {executed} of {total} steps"
    if result.error is not None:
        severity = result.error.severity.value
        if result.status is Status.FAILURE and severity != "fatal":
            yield f"§5.3: a failure's error is {severity}"
        yield from _faults_of_error(result.error)


def _faults_of_error(error: ExecutionError) -> Iterator[str]:
    severity = error.severity.value
    if severity not in SEVERITIES.get(error.error_code, _OWN):
        yield f"§4: {error.error_code} is {severity}"
    if error.recoverable == (severity == "fatal"):
        yield f"§3.1: {severity} with recoverable {error.recoverable}"
    if error.cause is not None:
        yield from _faults_of_error(error.cause)


def _faults_of_audit(seen: Seen, result: PlanResult) -> Iterator[str]:
    audit = seen.audits[0]
    if (audit.execution_id, audit.outcome) != (result.execution_id, result.status):
        yield f"R41: the audit is of {audit.execution_id}, {audit.outcome}"
    found = [(each.number, each.name) for each in audit.actions]
    if found != list(enumerate(ACTIONS[result.status].split(), 1)):
        yield f"§5: the audit lists {found}"
    times = [each.at for each in audit.actions]
    if times != sorted(times):
        yield f"§5: the actions' times are {times}"


def _faults_of_event(seen: Seen, result: PlanResult) -> Iterator[str]:
    event = seen.events[0]
    if event.event.value != f"plan_execution_{result.status.value}":
        yield f"§5: the event {event.event.value} of a {result.status.value}"
    if (event.execution_id, event.status, event.error) != (
        result.execution_id,
        result.status,
        result.error,
    ):
        yield "R41: the event says other things than the result"


def _faults_of_record(
    seen: Seen, result: PlanResult, correlation: Mapping[str, str]
) -> Iterator[str]:
    record = seen.records[0]
    if record.key != result.plan_id.encode():
        yield f"R41: the result's key is {record.key}"
    if not record.topic.endswith(f"results.{result.status.value}"):
        yield f"R41: a {result.status.value} lies on {record.topic}"
    wanted = {
        "execution_id": result.execution_id,
        "status": result.status.value,
        **correlation,
    }
    headers = {name: value.decode() for name, value in record.headers}
    if headers != wanted:
        yield f"R41: the result's headers are {headers}, not {wanted}"
