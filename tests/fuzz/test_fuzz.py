"""Mutated submissions and outcomes against a running coordinator: each record ends.

`make fuzz RECORDS=100000 SEED=7` throws more, and repeats what a seed draws.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import Broker
from tests.fuzz.options import Options
from tests.fuzz.run import Fuzz, Seen, counted
from tests.integration.invariants import lag, rows_left
from tests.integration.plans import ENVIRONMENT, plan, step
from tests.integration.system import System, eventually

OPTIONS = Options.read()
RETENTION_MS = 60_000
"""How long ids are remembered: memory shall be flat in a long run, too. A record is
thrown again a few seconds after the first time at most."""
GROWTH_BYTES = 48 * 2**20
"""What the process may have grown by in the second half of a run."""
FORGOTTEN_S = 150.0
"""How long parents are remembered that ended before their children came, and more."""
OVERHEAD_S = 360
PER_RECORD_S = 0.02


@pytest.mark.slow
@pytest.mark.timeout(OVERHEAD_S + OPTIONS.records * PER_RECORD_S)
def test_every_record_ends(kafka: Broker, topic_prefix: str, tmp_path: Path) -> None:
    """Refusals, R14, R34, R36, R37, R38, I1, I5: a result, a dead letter, or ignored.

    The process neither dies nor restarts nor grows, and serves sound plans after it.
    """

    async def scenario() -> None:
        system = System(
            kafka.bootstrap,
            topic_prefix,
            tmp_path,
            registry_retention_ms=RETENTION_MS,
        )
        fuzz = Fuzz(system)
        try:
            await fuzz.start()
            seen = await fuzz.run(OPTIONS.records, OPTIONS.seed)
            print(*told(seen), sep="\n")
            assert seen.account.faults() == []
            await every_record_is_counted(fuzz, seen)
            await nothing_is_stuck(system)
            half = seen.memory[len(seen.memory) // 2]
            assert seen.memory[-1] - half < GROWTH_BYTES, seen.memory
            assert fuzz.coordinator.process is not None
            assert fuzz.coordinator.process.pid == seen.pid
        finally:
            codes = await system.stop()
        assert set(codes) == {0}
        for member in system.members:
            assert "Traceback" not in member.log.read_text(), member.log

    asyncio.run(scenario())


async def every_record_is_counted(fuzz: Fuzz, seen: Seen) -> None:
    """What the topics hold is what was folded, and what came of it is told."""
    system, letters = fuzz.system, seen.account.letters
    for topic in (system.topics.plans, system.topics.step_outcomes):
        name = topic.name.removeprefix(system.settings.prefix)
        on_topic = len(await system.read(topic))

        async def missing(name: str = name, on_topic: int = on_topic) -> int:
            folded = counted(fuzz.figures(), "planstream_records", name)
            return on_topic - folded.total()

        await eventually(missing, lambda count: count == 0)
    figures = fuzz.figures()
    outcomes = counted(figures, "planstream_records_rejected", "step-outcomes")
    plans = counted(figures, "planstream_records_rejected", "plans")
    ignored = counted(figures, "planstream_records_ignored", "step-outcomes")
    assert outcomes.total() == len(seen.account.unreadable)
    assert (plans + outcomes).total() == letters.total()
    assert plans + outcomes == seen.account.reasons
    assert ignored["no such open plan"] > 0
    assert not counted(figures, "planstream_records_ignored", "plans")


async def nothing_is_stuck(system: System) -> None:
    """A sound plan on each partition ends well, no rows and no lag are left."""
    async with system.client() as client:
        for _ in range(4 * system.settings.partitions):
            sent = await client.submit(plan(step()), ENVIRONMENT)
            result = await client.result(sent.plan_id, 30)
            assert result.status == "success"

    async def left() -> tuple[int, int]:
        return (await rows_left(system)).total(), await lag(system)

    await eventually(left, lambda found: found == (0, 0), FORGOTTEN_S)


def told(seen: Seen) -> list[str]:
    """What a run came to, for people."""
    account = seen.account
    ignored = counted(seen.figures, "planstream_records_ignored", "step-outcomes")
    memory = " ".join(f"{each / 2**20:.0f}" for each in seen.memory)
    return [
        f"{account.thrown} records in {seen.seconds:.0f} s ({OPTIONS.command})",
        f"results {len(account.results)}, dead letters {dict(account.reasons)}",
        f"outcomes ignored {dict(ignored)}",
        f"coordinator's memory, MiB: {memory}",
    ]
