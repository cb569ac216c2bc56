"""What a process does to itself before it runs, and how its apps end."""

import asyncio
import subprocess
import sys

import pytest

from streams.runtime.process import stop_in_turn

LOOKED = """
import gc
import weakref
from streams.runtime.process import GARBAGE, ease_collector
ease_collector()
assert gc.get_threshold() == GARBAGE
assert gc.get_freeze_count() > 10_000

class Ring:
    pass

ring = Ring()
ring.itself = ring
seen = weakref.ref(ring)
del ring
assert seen() is not None
gc.collect()
assert seen() is None
"""


def test_garbage_is_looked_for_among_what_is_new() -> None:
    """More rarely than by default, and never among what was imported."""
    subprocess.run([sys.executable, "-c", LOOKED], check=True, timeout=60)


class App:
    """An app that tells how its end goes."""

    def __init__(self, name: str, told: list[str], error: Exception | None = None):
        self.name = name
        self.told = told
        self.error = error
        self.handed_over = asyncio.Event()
        self.may_hand_over = asyncio.Event()
        self.may_leave = asyncio.Event()

    async def stop(self) -> None:
        self.told.append(f"{self.name} stops")
        if self.error is not None:
            raise self.error
        await self.may_hand_over.wait()
        self.handed_over.set()
        await self.may_leave.wait()
        self.told.append(f"{self.name} has left")


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_coordinator_goes_on_until_its_worker_has_told_all() -> None:
    """But does not wait for a broker that the worker cannot take leave of."""

    async def scenario() -> None:
        told: list[str] = []
        worker, coordinator = App("worker", told), App("coordinator", told)
        stopping = asyncio.create_task(stop_in_turn([worker, coordinator]))
        await turns()
        assert told == ["worker stops"]
        worker.may_hand_over.set()
        await turns()
        assert told == ["worker stops", "coordinator stops"]
        coordinator.may_hand_over.set()
        coordinator.may_leave.set()
        await turns()
        assert told[2:] == ["coordinator has left"]
        assert not stopping.done()
        worker.may_leave.set()
        await stopping
        assert told[3:] == ["worker has left"]

    asyncio.run(scenario())


def test_an_app_that_cannot_stop_does_not_keep_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What went wrong is in the log."""

    async def scenario() -> None:
        told: list[str] = []
        broken, other = App("broken", told, OSError("away")), App("other", told)
        other.may_hand_over.set()
        other.may_leave.set()
        await stop_in_turn([broken, other])
        assert told == ["broken stops", "other stops", "other has left"]

    asyncio.run(scenario())
    assert "away" in caplog.text
