"""What becomes of records is counted, and told over HTTP."""

from __future__ import annotations

import asyncio
from http.client import HTTPConnection

from prometheus_client import REGISTRY

from agents.effects import Effects
from streams.devkit.ports import free_ports
from streams.runtime import report
from streams.runtime.counts import count_fold
from streams.runtime.health_server import HealthServer
from tests.unit.coordinator.bench import OUTCOMES_TOPIC, PLANS_TOPIC, Bench, Source


def figure(name: str, topic: str, **labels: str) -> float:
    """A counter as it stands."""
    wanted = {"topic": topic, **labels}
    return REGISTRY.get_sample_value(f"planstream_{name}_total", wanted) or 0


def test_records_are_counted_by_what_became_of_them() -> None:
    """Refusals: ignored ones by reason, dead letters by theirs."""
    effects = Effects()
    effects.ignored["repeat or latecomer"] = 2
    effects.rejected["MALFORMED"] = 3
    count_fold("counted", 9, effects)
    count_fold("counted", 1, Effects())

    assert figure("records", "counted") == 10
    assert figure("records_ignored", "counted", reason="repeat or latecomer") == 2
    assert figure("records_rejected", "counted", reason="MALFORMED") == 3


def test_a_fold_says_what_it_rejected_and_ignored() -> None:
    """R38: what cannot be read is a dead letter, on whichever topic it lies."""
    bench = Bench()
    for topic in (PLANS_TOPIC, OUTCOMES_TOPIC):
        bench.state.fold(Source(topic, 0, 0, b"?"), 1)
    effects = bench.state.take_effects()

    assert effects.rejected == {"MALFORMED": 2}
    assert len(effects.records) == 2
    assert not effects.ignored


def test_counts_are_told_over_http() -> None:
    """In Prometheus's text format, with the memory of the process."""
    count_fold("told", 4, Effects())

    async def scenario() -> None:
        (port,) = free_ports(1)
        server = HealthServer(lambda: report.dead("it is a test's"))
        await server.start("127.0.0.1", port)
        try:
            told = await asyncio.to_thread(ask, port)
        finally:
            await server.stop()
        assert 'planstream_records_total{topic="told"} 4.0' in told
        assert "process_resident_memory_bytes" in told

    asyncio.run(scenario())


def ask(port: int) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text
