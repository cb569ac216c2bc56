"""What is promised, looked for in what lies on the topics."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.results import PlanResult, Status
from tests.chaos.evidence import Evidence, Place
from tests.chaos.load import Load
from tests.chaos.plans import Made


def broken(load: Load, seen: Evidence) -> list[str]:
    """Every promise that was not kept, in a line each."""
    found = [
        *_lost(load, seen),
        *_letters(seen),
        *_endings(load, seen),
        *_traces(seen),
        *_order(load, seen),
    ]
    if seen.rows:
        found.append(f"rows are left: {dict(seen.rows)}")
    if seen.lag:
        found.append(f"{seen.lag} records of inputs are not covered by positions")
    return found


def _lost(load: Load, seen: Evidence) -> Iterator[str]:
    """What was acknowledged lies there; a plan has one result, nothing else has."""
    there = {place: plan_id for plan_id, place in seen.first.items()} | seen.others
    for at, plan_id in load.acknowledged.items():
        if there.get(Place(*at), "nothing") != plan_id:
            yield f"plan {plan_id} was acknowledged at {at}, and is not there"
    for plan_id in seen.first:
        if (count := len(seen.results.get(plan_id, ()))) != 1:
            yield f"{load.made[plan_id].kind} {plan_id} has {count} results"
    for plan_id in seen.results.keys() - seen.first.keys():
        yield f"the result of {plan_id} belongs to no submission"


def _letters(seen: Evidence) -> Iterator[str]:
    """Each later or unreadable submission has one dead letter, nothing else has."""
    for place, plan_id in seen.others.items():
        wanted = "MALFORMED" if plan_id is None else "DUPLICATE_EXECUTION"
        if (reasons := seen.letters.get(place, [])) != [wanted]:
            yield f"the dead letters of {place} ({plan_id}) are {reasons}"
    for place in seen.letters.keys() - seen.others.keys():
        yield f"{place} should have no dead letter: {seen.letters[place]}"


def _endings(load: Load, seen: Evidence) -> Iterator[str]:
    for plan_id, results in seen.results.items():
        made = load.made.get(plan_id)
        if made is None:
            continue
        for result in results:
            for wrong in _wrong(made, result, seen):
                yield f"{made.kind} {plan_id} {wrong}: {result!r:.600}"


def _wrong(made: Made, result: PlanResult, seen: Evidence) -> Iterator[str]:
    """What is wrong with a result, by its plan and by what its steps' outcomes say."""
    ending, executed = made.ending, result.steps_executed
    code = None if result.error is None else result.error.error_code
    if result.status is not ending.status:
        yield f"should be {ending.status}"
    if ending.completed not in {None, executed}:
        yield f"should have {ending.completed} completed steps"
    if code not in (ending.codes or {None}):
        yield f"should have one of the codes {ending.codes}"
    counts = (len(result.result_payload), len(made.steps))
    if (executed, result.steps_total) != counts:
        yield "counts its steps wrongly"
    yield from _untrue(made, result, seen)


def _untrue(made: Made, result: PlanResult, seen: Evidence) -> Iterator[str]:
    payload = result.result_payload
    for step_id, value in payload.items():
        if value not in seen.steps[step_id].returned:
            yield f"has a result of step {step_id} that it never returned"
    if result.status is not Status.PARTIAL:
        return
    for step_id in {each["id"] for each in made.steps} - payload.keys():
        if not seen.steps[step_id].failures:
            yield f"lacks step {step_id}, which never failed"


def _traces(seen: Evidence) -> Iterator[str]:
    """Audits and halts come with results; events at most once, and say the same."""
    for plan_id in seen.first:
        results = seen.results.get(plan_id, [])
        statuses = [result.status for result in results]
        audited = [audit.outcome for audit in seen.audits.get(plan_id, ())]
        if audited != statuses:
            yield f"plan {plan_id} ended in {statuses}, its audits in {audited}"
        told = [event.status for event in seen.events.get(plan_id, ())]
        if told not in ([], statuses):
            yield f"plan {plan_id} ended in {statuses}, its events in {told}"
        # A plan that is refused has no steps to halt.
        if seen.halts[plan_id] > statuses.count(Status.FAILURE):
            halts = seen.halts[plan_id]
            yield f"plan {plan_id} ended in {statuses}, with {halts} halts"


def _order(load: Load, seen: Evidence) -> Iterator[str]:
    """No attempt began before the steps had completed that its step depends on."""
    for plan_id in seen.first:
        for each in load.made[plan_id].steps:
            began = seen.steps[each["id"]].began
            for needed in each["depends_on"]:
                completed = seen.steps[needed].completed
                if began is not None and (completed is None or began < completed):
                    yield f"step {each['id']} began before {needed} had completed"
