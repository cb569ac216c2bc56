from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.chaos.checks import TAKEOVER_MS, Checks
from tests.chaos.findings import Invariant
from tests.chaos.follower import Follower
from tests.chaos.load import Load
from tests.chaos.made import Made, Place, known
from tests.chaos.plans import chain, skipped
from tests.chaos.trails import StepTrail
from tests.integration.plans import new_id, now_ms
from tests.integration.system import System

SOURCE = ("chaos.plans", 0, 7)


class Case(NamedTuple):
    """Evidence of two plans that ended as they must, for a test to spoil."""

    checks: Checks
    load: Load
    follower: Follower
    chain: Made
    partial: Made
    results: dict[str, dict[str, Any]]


def case(where: Path) -> Case:
    system = System("127.0.0.1:1", "chaos.", where)
    dice = random.Random(1)
    load, follower = Load(system, dice, where), Follower(system)
    checks = Checks(system, load, follower)
    (first,) = known("chain", chain(dice, where), now_ms())
    (second,) = known("skipped", skipped(dice, where), now_ms())
    results = {}
    for number, (made, failed) in enumerate(((first, 0), (second, 1))):
        _lies_there(checks, load, made, Place(0, number))
        _was_told(checks, made, failed)
        results[made.plan_id] = _result(made, failed)
        follower.seen[made.plan_id] = made.at_ms + 100
    return Case(checks, load, follower, first, second, results)


def _lies_there(checks: Checks, load: Load, made: Made, place: Place) -> None:
    load.made[made.plan_id] = made
    load.acknowledged[place] = made.plan_id
    checks.seen.lying[place] = made.plan_id
    checks.seen.first[made.plan_id] = place
    for told in (checks.seen.audits, checks.seen.events):
        told[made.plan_id].append(str(made.ending.status))


def _was_told(checks: Checks, made: Made, failed: int) -> None:
    """The first `failed` steps failed, the others completed one after the other."""
    for number, step_id in enumerate(made.steps):
        trail = StepTrail(told_at=number, began=1000 + number)
        if number < failed:
            trail.failures = 1
        else:
            trail.completed, trail.completed_at = 1000 + number, number
            trail.returned = (hash(step_id),)
        checks.seen.trails.steps[step_id] = trail


def _result(made: Made, failed: int) -> dict[str, Any]:
    completed = made.steps[failed:]
    code = made.ending.codes[0] if made.ending.codes else None
    return {
        "plan_id": made.plan_id,
        "status": str(made.ending.status),
        "steps_executed": len(completed),
        "steps_total": len(made.steps),
        "result_payload": {step_id: step_id for step_id in completed},
        "error": None if code is None else {"error_code": code},
    }


def broken(given: Case) -> set[Invariant]:
    for fields in given.results.values():
        given.checks.judge_result(fields)
    given.checks.judge()
    return {each for each, count in given.checks.findings.broken.items() if count}


def test_what_is_as_it_must_be_breaks_nothing(tmp_path: Path) -> None:
    """Else each run would fail."""
    given = case(tmp_path)
    assert broken(given) == set()
    looked = given.checks.findings.looked
    assert looked[Invariant.ORDER] == len(given.chain.steps)  # one in the other plan
    assert looked[Invariant.TRUE] == looked[Invariant.STUCK] == 2


def lose(given: Case) -> None:
    del given.results[given.chain.plan_id]
    given.checks.seen.audits.clear()
    given.checks.seen.events.clear()
    given.results.clear()


def lose_a_submission(given: Case) -> None:
    del given.checks.seen.lying[Place(0, 0)]


def duplicate(given: Case) -> None:
    given.results["again"] = given.results[given.chain.plan_id]
    for told in (given.checks.seen.audits, given.checks.seen.events):
        told[given.chain.plan_id] *= 2


def invent(given: Case) -> None:
    strange = {**given.results[given.chain.plan_id], "plan_id": new_id()}
    given.results["strange"] = strange


def lose_a_letter(given: Case) -> None:
    given.checks.seen.letters_due[SOURCE] = "MALFORMED"


def repeat_a_letter(given: Case) -> None:
    lose_a_letter(given)
    given.checks.seen.letters[SOURCE] = ["MALFORMED", "MALFORMED"]


def reject_wrongly(given: Case) -> None:
    given.checks.seen.letters[SOURCE] = ["POISON"]


def forge(given: Case) -> None:
    given.results[given.chain.plan_id]["result_payload"][given.chain.steps[0]] = (
        "forged"
    )


def succeed_wrongly(given: Case) -> None:
    fields = given.results[given.partial.plan_id]
    fields |= {"status": "success", "error": None}
    for told in (given.checks.seen.audits, given.checks.seen.events):
        told[given.partial.plan_id] = ["success"]


def drop_a_failure(given: Case) -> None:
    given.checks.seen.trails.steps[given.partial.steps[0]].failures = 0


def forget_an_audit(given: Case) -> None:
    given.checks.seen.audits[given.chain.plan_id].clear()


def halt_a_success(given: Case) -> None:
    given.checks.seen.halts[given.chain.plan_id] += 1


def begin_early(given: Case) -> None:
    given.checks.seen.trails.steps[given.chain.steps[1]].began = 999


def tell_early(given: Case) -> None:
    given.checks.seen.trails.steps[given.chain.steps[1]].told_at = -1


def be_late(given: Case) -> None:
    made = given.chain
    given.follower.seen[made.plan_id] = made.deadline_ms + TAKEOVER_MS + 1


def leave_rows(given: Case) -> None:
    given.checks.seen.rows["steps"] += 1


def move_twice(given: Case) -> None:
    given.checks.seen.strays["a"] = 2


def move_never(given: Case) -> None:
    given.checks.seen.strays["a"] = 0


SPOILED: list[tuple[Callable[[Case], None], set[Invariant]]] = [
    (lose, {Invariant.LOST}),
    (lose_a_submission, {Invariant.LOST}),
    (move_never, {Invariant.LOST}),
    (duplicate, {Invariant.DUPLICATED}),
    (invent, {Invariant.DUPLICATED}),
    (move_twice, {Invariant.DUPLICATED}),
    (lose_a_letter, {Invariant.LETTERS}),
    (repeat_a_letter, {Invariant.LETTERS}),
    (reject_wrongly, {Invariant.LETTERS}),
    (forge, {Invariant.TRUE}),
    (succeed_wrongly, {Invariant.TRUE, Invariant.WHOLE}),
    (drop_a_failure, {Invariant.TRUE}),
    (forget_an_audit, {Invariant.TRACES}),
    (halt_a_success, {Invariant.TRACES}),
    (begin_early, {Invariant.ORDER}),
    (tell_early, {Invariant.ORDER}),
    (be_late, {Invariant.STUCK}),
    (leave_rows, {Invariant.ROWS}),
]


@pytest.mark.parametrize(
    ("spoil", "expected"), SPOILED, ids=[spoil.__name__ for spoil, _ in SPOILED]
)
def test_every_break_is_found(
    tmp_path: Path, spoil: Callable[[Case], None], expected: set[Invariant]
) -> None:
    """I1 to I5, I7: a suite that cannot fail shows nothing."""
    given = case(tmp_path)
    spoil(given)
    assert broken(given) == expected
