"""Faults of all kinds under load, drawn from a seed: every promise holds.

`make chaos SECONDS=1900 SEED=7 REPORT=docs/chaos/run.json` runs longer, repeats the
schedule of a seed, and writes down what was seen.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streams.devkit.cluster import EmbeddedCluster
from streams.devkit.kafka import EmbeddedKafka
from streams.devkit.ports import free_ports
from tests.chaos.options import Options
from tests.chaos.proxy import Proxy
from tests.chaos.run import LONG_S, Run
from tests.scratch import DISK, kept_if_it_fails

OPTIONS = Options.read()
OVERHEAD_S = 900.0
CUT = 250
"""Characters of each line of what is said of a failure."""


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.timeout(OPTIONS.seconds + OVERHEAD_S)
def test_every_plan_ends_once_and_rightly_under_faults() -> None:
    """Kills, freezes, restarts and strangers: nothing is lost, repeated or stuck.

    Logs and data are removed when all is well; else they stay for who looks into it.
    """
    (proxy_port,) = free_ports(1)
    large = OPTIONS.seconds > LONG_S or OPTIONS.brokers > 1
    with kept_if_it_fails("planstream-chaos-", large=large) as where:
        with brokers(where / "kafka", proxy_port) as broker:
            told = asyncio.run(carry_out(broker, proxy_port, where))
        why = [f"see {where.name} in {DISK}; to repeat it: {OPTIONS.command}"]
        why += [each[:CUT] for each in (*told["broken"], *told["notes"])]
        assert not any(told["verdict"].values()), "\n".join(why)


def brokers(data: Path, proxy_port: int) -> EmbeddedKafka | EmbeddedCluster:
    if OPTIONS.brokers > 1:
        return EmbeddedCluster(OPTIONS.brokers, data=data)
    return EmbeddedKafka(data=data, proxy_port=proxy_port)


async def carry_out(
    broker: EmbeddedKafka | EmbeddedCluster, proxy_port: int, where: Path
) -> dict[str, Any]:
    if isinstance(broker, EmbeddedCluster):
        return await told(Run(OPTIONS, broker, where, None), where)
    async with Proxy(proxy_port, broker.inner_port) as proxy:
        return await told(Run(OPTIONS, broker, where, proxy), where)


async def told(run: Run, logs: Path) -> dict[str, Any]:
    """Say what will be done, and do it."""
    print(f"\nseed {OPTIONS.seed}, logs in {logs}", *run.schedule, sep="\n")
    print(f"to repeat it: {OPTIONS.command}", flush=True)
    return await run.carry_out()
