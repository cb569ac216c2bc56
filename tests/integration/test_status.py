"""The registry and the resources of a real installation, asked over Kafka (U1, U3)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from schemas.results import Status
from schemas.status import StepPhase, WaitsFor
from streams.cli_output import ExitCode
from streams.client import PlanClient
from streams.status import Known, PlanResources, PlanStatus
from tests.conftest import Broker
from tests.integration.live import Live, live
from tests.integration.plans import new_id, plan, step, submission
from tests.integration.system import ROOT, Member, eventually
from tests.integration.test_nested import nest, parent_of
from tests.integration.test_several import owned_by, shared


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    directory = tmp_path_factory.mktemp("status")
    with live(kafka, directory, members={"coordinators": 2, "workers": 2}) as system:
        system.run(shared(system, system.system.of("coordinator")))
        yield system


@pytest.fixture(scope="module")
def client(system: Live) -> Iterator[PlanClient]:
    client = system.system.client(results=False)
    system.run(client.start())
    yield client
    system.run(client.stop())


def said(system: Live, *words: str) -> tuple[int, str, str]:
    """Run `planstream status`: its exit code, and what it prints and complains of."""
    done = subprocess.run(
        [sys.executable, "-m", "streams", "status", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **system.system.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def seen(system: Live, work: Coroutine[Any, Any, PlanStatus]) -> PlanStatus:
    return system.run(work)


def owner_of(system: Live, plan_id: str) -> Member:
    """The coordinator that owns a plan's partition."""
    place = system.place_of(plan_id)
    found = [x for x in system.system.of("coordinator") if place in owned_by(x)]
    (owner,) = found
    return owner


# -- U1


def test_a_running_plan_is_told_step_by_step(system: Live, client: PlanClient) -> None:
    """U1: states, attempts, what each waits for and until when; by either id."""
    slow = step("sleep", {"ms": 20_000}, timeout_ms=7000)
    done = step()
    tried = step("fail", on_failure="retry")
    last = step(after=(slow, done))
    policy = {
        "max_attempts": 2,
        "backoff_ms": 30_000,
        "retryable_error_codes": ["BROKEN"],
    }
    steps = (slow, done, tried, last)
    made = submission(*steps, retry_policy=policy, timeout_ms=9000)
    plan_id = made["plan"]["id"]

    def is_there(found: PlanStatus) -> bool:
        wanted = ["running", "completed", "backing_off", "waiting"]
        return bool(
            found.running and [each.state for each in found.running.steps] == wanted
        )

    async def scenario() -> tuple[PlanStatus, PlanStatus]:
        await system.submit(made)
        found = await eventually(lambda: client.status(plan_id), is_there)
        return found, await client.status(made["execution_id"])

    found, same = system.run(scenario())
    assert found.state is Known.RUNNING
    assert found.running is not None
    assert found.running == same.running
    assert found.running.execution_id == made["execution_id"]
    assert found.partition == same.partition == system.place_of(plan_id)
    waits = [each.waits_for for each in found.running.steps]
    nothing, dependencies = WaitsFor.NOTHING, WaitsFor.DEPENDENCIES
    assert waits == [WaitsFor.OUTCOME, nothing, WaitsFor.RETRY, dependencies]
    runs, _, retries, waiting = found.running.steps
    assert (runs.attempt, retries.attempt, retries.error_code) == (1, 2, "BROKEN")
    assert waiting.missing == (slow["id"],)
    ends_at = found.running.ends_at
    assert waiting.waits_until == ends_at
    assert runs.waits_until is not None
    assert runs.waits_until < ends_at
    code, out, _ = said(system, plan_id)
    assert (code, out.count("\n") > 4) == (ExitCode.OK, True)
    assert f"running  {plan_id}" in out
    assert StepPhase.BACKING_OFF in out
    assert system.run(system.ledger.ended(plan_id)).result.status is Status.FAILURE


def test_an_ended_plan_is_told_in_summary(system: Live, client: PlanClient) -> None:
    """U1, R14: by the plan's id and its execution's, also on the command line."""
    made = submission(step(), step("fail", on_failure="skip"))
    plan_id, execution_id = made["plan"]["id"], made["execution_id"]
    result = system.execute(made).result
    by_plan = seen(system, client.status(plan_id))
    for found in (by_plan, seen(system, client.status(execution_id))):
        assert found.state is Known.PARTIAL
        assert found.ended is not None
        assert (found.ended.plan_id, found.ended.execution_id) == (
            plan_id,
            execution_id,
        )
        assert (found.ended.steps_executed, found.ended.steps_total) == (1, 2)
        assert result.error is not None
        assert found.ended.error_code == result.error.error_code
    code, out, _ = said(system, execution_id, "--json")
    assert code == ExitCode.OK
    assert PlanStatus.model_validate_json(out).ended == by_plan.ended


def test_what_nobody_knows_is_unknown(system: Live, client: PlanClient) -> None:
    """U1: when all owners have said so."""
    found = seen(system, client.status(new_id()))
    assert (found.state, found.away) == (Known.UNKNOWN, ())
    code, out, err = said(system, plan_id := new_id())
    assert (code, out) == (ExitCode.UNKNOWN, "")
    assert plan_id in err


def test_each_plan_is_told_by_the_owner_of_its_partition(
    system: Live, client: PlanClient
) -> None:
    """U1: several coordinators share the registry."""
    made = [submission(step()) for _ in range(24)]
    system.execute_all(*made)
    owners: dict[str, set[int]] = {}
    for each in made:
        found = seen(system, client.status(each["plan"]["id"]))
        assert found.state is Known.SUCCESS
        assert found.partition == system.place_of(each["plan"]["id"])
        assert found.coordinator is not None
        owners.setdefault(found.coordinator, set()).add(found.partition)
    coordinators = system.system.of("coordinator")
    expected = sorted(sorted(owned_by(each)) for each in coordinators)
    assert sorted(sorted(each) for each in owners.values()) == expected


def test_many_ask_at_once(system: Live, client: PlanClient) -> None:
    """U1: one client, one reader, any number of questions."""
    made = submission(step())
    system.execute(made)

    async def scenario() -> list[PlanStatus]:
        ids = [made["plan"]["id"], new_id()] * 20
        return list(await asyncio.gather(*[client.status(each, 30) for each in ids]))

    states = [each.state for each in system.run(scenario())]
    assert states == [Known.SUCCESS, Known.UNKNOWN] * 20


def test_garbage_on_the_topics_is_passed_over(system: Live, client: PlanClient) -> None:
    """U1: neither coordinators nor clients mind what strangers write."""
    made = submission(step())
    system.execute(made)

    async def scenario() -> PlanStatus:
        topics = system.system.topics
        for topic in topics.of_asking():
            for number in range(topic.partitions):
                for value in (b"", b"{}", b"\xc3\x01\0\0", None):
                    await system.producer.send_and_wait(
                        topic.name, value, key=b"key", partition=number
                    )
        return await client.status(made["plan"]["id"])

    assert system.run(scenario()).state is Known.SUCCESS
    assert seen(system, client.status(new_id())).state is Known.UNKNOWN


def test_an_owner_that_is_away_is_said_to_be(system: Live, client: PlanClient) -> None:
    """U1: its plans are not "unknown"; when it is back, it answers."""
    made = submission(step())
    plan_id = made["plan"]["id"]
    system.execute(made)
    owner = owner_of(system, plan_id)
    owned = sorted(owned_by(owner))
    owner.signal(signal.SIGSTOP)
    try:
        found = seen(system, client.status(plan_id, timeout=2))
    finally:
        owner.signal(signal.SIGCONT)
    assert (found.state, found.away) == (Known.OWNER_AWAY, tuple(owned))
    back = eventually(
        lambda: client.status(plan_id), lambda each: each.state is Known.SUCCESS
    )
    assert seen(system, back).ended is not None


def test_the_next_owner_answers_for_one_that_was_killed(
    system: Live, client: PlanClient
) -> None:
    """U1, R15: what is told of a running plan is the same as before."""
    made = submission(step("sleep", {"ms": 20_000}), step())
    plan_id = made["plan"]["id"]

    def is_running(found: PlanStatus) -> bool:
        steps = found.running.steps if found.running else ()
        return [each.state for each in steps] == ["running", "completed"]

    async def scenario() -> tuple[PlanStatus, PlanStatus]:
        await system.submit(made)
        before = await eventually(lambda: client.status(plan_id), is_running)
        owner = owner_of(system, plan_id)
        await owner.kill()
        after = await client.status(plan_id, timeout=30)
        await owner.start()
        await shared(system, system.system.of("coordinator"))
        return before, after

    before, after = system.run(scenario())
    assert after.running == before.running
    assert after.coordinator != before.coordinator
    assert system.run(system.ledger.ended(plan_id)).result.status is Status.SUCCESS


# -- U3


def emptied(system: Live, client: PlanClient, asked_for: str) -> PlanResources:
    """Wait until an ended execution holds nothing, by everybody's word."""

    def is_empty(found: PlanResources) -> bool:
        return found.is_complete and found.total == 0

    return system.run(eventually(lambda: client.resources(asked_for), is_empty))


def test_what_a_running_plan_holds_is_listed(system: Live, client: PlanClient) -> None:
    """U3: rows, timers, requests; attempts and slots, and at which worker."""
    first = step("sleep", {"ms": 20_000}, timeout_ms=30_000)
    others = (step("sleep", {"ms": 20_000}), step(after=(first,)))
    made = submission(first, *others, timeout_ms=9000)
    plan_id = made["plan"]["id"]

    def runs(found: PlanResources) -> bool:
        return (found.running_attempts, found.rows) == (2, 3)

    async def scenario() -> PlanResources:
        await system.submit(made)
        return await eventually(lambda: client.resources(plan_id), runs)

    found = system.run(scenario())
    assert (found.state, found.is_complete) == (Known.RUNNING, True)
    assert (found.timers, found.pending_requests, found.window_slots) == (2, 2, 2)
    assert len(found.workers) == 2
    code, out, _ = said(system, made["execution_id"], "--resources")
    assert code == ExitCode.OK
    assert f"running  {made['execution_id']}  holds 11" in out
    assert system.run(system.ledger.ended(plan_id)).result.status is Status.FAILURE
    assert emptied(system, client, plan_id).state is Known.FAILURE


def partial() -> dict[str, Any]:
    return submission(step(), step("fail", on_failure="skip"), step("sleep", {"ms": 9}))


def failed() -> dict[str, Any]:
    policy = {"max_attempts": 2, "retryable_error_codes": ["BROKEN"]}
    return submission(step("fail", on_failure="retry"), retry_policy=policy)


def halted() -> dict[str, Any]:
    others = [step("sleep", {"ms": 20_000}, timeout_ms=30_000) for _ in range(3)]
    brief = step("sleep", {"ms": 500})
    return submission(brief, step("fail", after=(brief,)), *others, step("block", MS))


def timed_out() -> dict[str, Any]:
    return submission(step("sleep", {"ms": 20_000}), step("block", MS), timeout_ms=900)


def refused() -> dict[str, Any]:
    return submission(step(), context_requirements=["what nobody gave"])


MS = {"ms": 20_000}


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (lambda: submission(step(), step("block", {"ms": 5})), Known.SUCCESS),
        (partial, Known.PARTIAL),
        (failed, Known.FAILURE),
        (halted, Known.FAILURE),
        (timed_out, Known.FAILURE),
        (refused, Known.FAILURE),
    ],
    ids=["success", "partial", "failure", "halted", "timed out", "refused"],
)
def test_an_execution_holds_nothing_after_its_end(
    system: Live, client: PlanClient, make: Any, state: Known
) -> None:
    """U3: by the word of its coordinator and of all workers."""
    made = make()
    system.execute(made)
    for asked_for in (made["plan"]["id"], made["execution_id"]):
        assert emptied(system, client, asked_for).state is state
    code, out, _ = said(system, made["plan"]["id"], "--resources", "--json")
    assert code == ExitCode.OK
    assert PlanResources.model_validate_json(out).total == 0


def test_a_refused_child_and_its_parent_hold_nothing(
    system: Live, client: PlanClient
) -> None:
    """U3, R39: a child that admission refused has an end, too."""
    child = plan(step(), context_requirements=["what nobody gave"])
    made = parent_of(child)
    system.execute(made)
    for plan_id in (made["plan"]["id"], child["id"]):
        assert emptied(system, client, plan_id).state is Known.FAILURE


def test_a_cancelled_parent_and_its_children_hold_nothing(
    system: Live, client: PlanClient
) -> None:
    """U3, R39: while they run each holds something, the child's attempt included."""
    child = plan(step("sleep", {"ms": 20_000}))
    waiting = step("sleep", {"ms": 5000})
    made = submission(nest(child), waiting, step("fail", after=(waiting,)))
    plan_id = made["plan"]["id"]

    def runs(found: PlanResources) -> bool:
        return found.running_attempts == 1 and found.rows > 1

    async def scenario() -> PlanStatus:
        await system.submit(made)
        await eventually(lambda: client.resources(child["id"]), runs)
        found = await client.status(plan_id)
        await system.ledger.ended(plan_id)
        await system.ledger.ended(child["id"])
        return found

    found = system.run(scenario())
    assert found.running is not None
    first = found.running.steps[0]
    assert (first.waits_for, first.child_plan_id) == (WaitsFor.CHILD, child["id"])
    for ended in (plan_id, child["id"]):
        assert emptied(system, client, ended).state is Known.FAILURE
