"""Restate, measured beside planstream: what targets are multiples of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import RESTATE, prepare
from benchmarks.peers.measuring import Amount
from benchmarks.peers.run import Found, measure
from benchmarks.presenting import Say

SETTLE_S = 25.0
"""Load before anything is measured, for planstream as well."""
LOADS = {"chain-3": (100, 1000), "fan-10": (100, 400), "chain-100": (), "fan-1000": ()}
"""Targets are multiples of its rates with 100 in flight. It does more with as many as
planstream has, which is told as well."""
AMOUNT = Amount(LOADS, latency_s=3, throughput_s=5, warm_up_s=1, settle_s=SETTLE_S)
QUICK = Amount(LOADS, latency_s=1, throughput_s=1, warm_up_s=0.5, settle_s=1)


@dataclass(frozen=True)
class Baseline:
    """How Restate is measured in each round."""

    scratch: Path
    quick: bool = False

    async def measure(self, say: Say) -> tuple[dict[str, float], Mapping[str, str]]:
        """Measures it once; gives the versions, too.

        Raises:
            NothingMeasured: It is not to be had, or did not get to its end.
        """
        environment = await prepare(RESTATE, self.scratch, say)
        amount = QUICK if self.quick else AMOUNT
        found = await measure(environment, "run", amount)
        named = measures(found)
        say(f"  {named}")
        return named, found["versions"]


def measures(found: Found) -> dict[str, float]:
    """Names what was found as the targets do."""
    named: dict[str, float] = {}
    for shape, each in found["shapes"].items():
        latency: dict[str, Any] = each["latency_ms"]
        named[f"restate {shape} p50"] = latency["p50"]
        named[f"restate {shape} p99"] = latency["p99"]
        for rate in each["throughput"]:
            for unit in ("plans", "steps"):
                name = f"restate {shape} × {rate['in_flight']} {unit}/s"
                named[name] = rate[f"{unit}_per_s"]
    return named
