"""Large plans: wide fans, and the recorded workflows of examples/wfcommons."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

from examples.wfcommons import wfplans
from examples.wfcommons.bounds import bound
from examples.wfcommons.instance import Instance
from schemas.results import Status
from tests.chaos.made import Draft, Ending
from tests.chaos.plans import PATIENCE_MS, success, work
from tests.integration.plans import step

INSTANCES = Path(wfplans.__file__).parent / "instances"
CRITICAL_PATH_MS = 1500
BUSY_MS = 15_000
"""The most run time that all steps of a recorded workflow have together."""


def wide(dice: random.Random, _: Path) -> Draft:
    """A hundred steps and more beside each other, and one that waits for them."""
    first = step("work", work(dice))
    count = dice.randint(100, 200)
    middle = [step("work", work(dice, 100), (first,)) for _number in range(count)]
    return success(first, *middle, step("work", work(dice), tuple(middle)))


def recorded(dice: random.Random, _: Path) -> Draft:
    """A workflow that somebody ran, faster."""
    instance, speedup = dice.choice(_instances())
    made = wfplans.submission(instance, speedup, timeout_ms=PATIENCE_MS)
    made["deadline_ms"] += PATIENCE_MS // 4
    for each in made["plan"]["steps"]:
        each["action"] = "work"
        each["payload"] = {"ms": each["payload"]["runtime_ms"]}
    return Draft(made, Ending(Status.SUCCESS, len(instance.tasks)))


@cache
def _instances() -> list[tuple[Instance, float]]:
    found = [wfplans.load(path) for path in sorted(INSTANCES.glob("*.json"))]
    return [(each, _speedup(each)) for each in found]


def _speedup(instance: Instance) -> float:
    busy_ms = sum(task.runtime_s for task in instance.tasks) * 1000
    critical_ms = bound(instance, 1, 1).critical_path_ms
    return max(critical_ms / CRITICAL_PATH_MS, busy_ms / BUSY_MS)
