"""Mixed plans for systems under fire, and what must have become of each."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Set
from pathlib import Path
from typing import Any

from schemas.results import Status
from streams.client import PlanClient
from tests.integration.invariants import lag, order_broken, results_of, rows_left
from tests.integration.symptoms import hidden, last_words
from tests.integration.system import Member, System, eventually

HANDLERS = "tests.integration.handlers"
ENVIRONMENT = {"where": "here"}
LOOK_S = 10


def plan(steps: list[tuple[str, str, dict[str, Any], list[str]]]) -> dict[str, Any]:
    """A plan of (id, action, payload, dependencies)."""
    return {
        "name": "under fire",
        "context_requirements": ["where"],
        "timeout_ms": 120_000,
        "steps": [
            {"id": each, "action": action, "payload": payload, "depends_on": needed}
            for each, action, payload, needed in steps
        ],
    }


def ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def chain(length: int, ms: int) -> dict[str, Any]:
    """Steps one after the other, each of `ms` milliseconds."""
    names = ids(length)
    return plan(
        [
            (name, "sleep", {"ms": ms}, [names[place - 1]] if place else [])
            for place, name in enumerate(names)
        ]
    )


def fan(width: int, ms: int) -> dict[str, Any]:
    """One step, then `width` at once, then a join."""
    first, last, *middle = ids(width + 2)
    return plan(
        [
            (first, "echo", {}, []),
            *((each, "sleep", {"ms": ms}, [first]) for each in middle),
            (last, "echo", {}, middle),
        ]
    )


def mixed(count: int) -> list[dict[str, Any]]:
    """Chains, fans and plans that fail, in turn."""
    makers: list[Callable[[], dict[str, Any]]] = [
        lambda: chain(5, 120),
        lambda: fan(6, 150),
        lambda: plan([(ids(1)[0], "fail", {}, [])]),
        lambda: plan([(ids(1)[0], "block", {"ms": 60}, [])]),
    ]
    return [makers[number % len(makers)]() for number in range(count)]


def expected_status(submitted: dict[str, Any]) -> Status:
    fails = any(step["action"] == "fail" for step in submitted["steps"])
    return Status.FAILURE if fails else Status.SUCCESS


async def submit_slowly(
    client: PlanClient, plans: list[dict[str, Any]], seconds: float
) -> dict[str, dict[str, Any]]:
    """Submit over some seconds; the plans by id."""
    submitted = {}
    for each in plans:
        done = await client.submit(each, ENVIRONMENT)
        submitted[done.plan_id] = each
        await asyncio.sleep(seconds / len(plans))
    return submitted


async def check(system: System, submitted: dict[str, dict[str, Any]]) -> None:
    """The invariants, on what lies on the topics."""
    assert not await eventually(lambda: lag(system), lambda behind: not behind)
    seen = await results_of(system)
    assert seen.results.keys() == submitted.keys()
    assert not seen.repeats
    for plan_id, result in seen.results.items():
        steps = submitted[plan_id]["steps"]
        assert result.status == expected_status(submitted[plan_id]), result
        if result.status is Status.SUCCESS:
            assert result.result_payload.keys() == {step["id"] for step in steps}
    assert not await rows_left(system)
    needed = {
        step["id"]: step["depends_on"]
        for each in submitted.values()
        for step in each["steps"]
    }
    assert not await order_broken(system, needed)


async def survive(
    system: System, faults: Callable[[], Awaitable[None]], count: int, seconds: float
) -> None:
    """Submit under faults, then check that each plan ended once, and rightly."""
    async with system.client(results=False) as client:
        load = asyncio.create_task(submit_slowly(client, mixed(count), seconds))
        await faults()
        submitted = await load
    await all_ended(system, submitted.keys())
    await check(system, submitted)


async def all_ended(system: System, plan_ids: Set[str], timeout: float = 60) -> None:
    """Wait for their results; fails with what tells why some do not come."""

    async def missing() -> Set[str]:
        return plan_ids - (await results_of(system)).results.keys()

    try:
        await eventually(missing, lambda them: not them, timeout)
    except AssertionError as error:
        for each in system.members:
            error.add_note(f"{each.log.name}: {each.state}")
        for line in last_words(each.log for each in system.members):
            error.add_note(line)
        try:
            async with asyncio.timeout(LOOK_S):
                async for line in hidden(system):
                    error.add_note(line)
        except Exception as why:  # noqa: BLE001 - it must not hide what failed
            error.add_note(f"no look at the logs: {why!r}")
        raise


def single(action: str, payload: dict[str, Any]) -> dict[str, Any]:
    return plan([(ids(1)[0], action, payload, [])])


async def submitted(system: System, what: dict[str, Any]) -> str:
    async with system.client(results=False) as client:
        return str((await client.submit(what, ENVIRONMENT)).plan_id)


def said(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def ended(system: System, plan_id: str) -> Status:
    seen = await eventually(
        lambda: results_of(system), lambda seen: plan_id in seen.results
    )
    assert not seen.repeats
    return seen.results[plan_id].status


async def stopped_in_s(member: Member, code: int) -> float:
    """Tell it to stop, and see how it ends."""
    since = time.monotonic()
    assert await member.stop() == code, member.log.read_text()[-4000:]
    return time.monotonic() - since
