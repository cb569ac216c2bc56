"""A run: plans are opened, coordinators killed, everything restarted."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import backlog, machine
from benchmarks.client import Client
from benchmarks.presenting import Say
from benchmarks.progress import Takeover
from benchmarks.steady import Steady
from benchmarks.system import installed
from benchmarks.takeover.figures import GRACE_S, Kills, Report, Rolling, Spans
from benchmarks.takeover.fleet import Fleet, Mode, fleet
from benchmarks.waiting import wait_for

SETTLE_S = 3.0
"""Load before anything counts."""
UNDISTURBED_S = 10.0
PATIENCE_S = 120.0
"""Partitions that stand still for so long are stuck."""
LONGER_THAN_A_TAKEOVER_S = 6.0
SEED = 7

REPORTED = (
    "partitions",
    "session_timeout_ms",
    "heartbeat_interval_ms",
    "max_plans_in_flight",
    "commit_interval_ms",
)

MODES = ("static-back", "static-away", "dynamic-back", "dynamic-away")
"""A killed process comes back at once, or the others take over."""


@dataclass(frozen=True)
class Options:
    """What is measured, and on what."""

    command: str
    open_plans: int = 100_000
    """Of all partitions together: each coordinator replays its share."""
    kills: int = 12
    coordinators: int = 2
    workers: int = 2
    plans_per_s: float = 50.0
    back_after_s: float = 0.5
    only: Sequence[str] = ()
    broker: str | None = None
    logs: Path | None = None


@dataclass
class Found:
    """What has been measured so far."""

    kills: list[Kills] = field(default_factory=list)
    rolling: list[Rolling] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)


def modes(session_s: float, back_after_s: float) -> list[Mode]:
    """Lists what is compared.

    A process that is not to be replaced by itself stays away until the others must
    have taken its partitions over.
    """
    away_s = session_s + GRACE_S + LONGER_THAN_A_TAKEOVER_S
    return [
        Mode(
            name,
            static=name.startswith("static"),
            back_after_s=back_after_s if name.endswith("back") else away_s,
        )
        for name in MODES
    ]


async def run(options: Options, say: Say) -> Report:
    """Measures all modes."""
    facts, total = machine.facts(), options.open_plans
    async with installed(
        options.broker,
        options.logs,
        routes=f"{backlog.ACTION}={backlog.QUEUE}",
        # The open plans must not keep out those that are measured.
        max_plans_in_flight=2 * total,
    ) as installation:
        settings = installation.settings
        session_s = settings.session_timeout_ms / 1000
        every = modes(session_s, options.back_after_s)
        sizes = (options.coordinators, options.workers)
        found = Found()
        async with Client.connected(settings) as client:
            async with fleet(installation, every[0], sizes):
                say(f"opening {total:,} plans")
                opened_in_s = await backlog.open_plans(settings, client, total)
                say(f"opened in {opened_in_s:.0f} s")
            for mode in every:
                if options.only and mode.name not in options.only:
                    continue
                say(f"{mode.name}: starting")
                async with fleet(installation, mode, sizes) as running:
                    await _measure(running, mode, client, options, found, say)
    reported = {name: getattr(settings, name) for name in REPORTED}
    return Report(
        command=options.command,
        machine=facts,
        settings=reported,
        open_plans=total,
        opened_in_s=round(opened_in_s, 1),
        kills=found.kills,
        rolling=found.rolling,
        problems=dict(found.problems),
    )


async def _measure(
    running: Fleet,
    mode: Mode,
    client: Client,
    options: Options,
    found: Found,
    say: Say,
) -> None:
    steady = Steady(client, options.plans_per_s)
    sending = asyncio.create_task(steady.send())
    receiving = asyncio.create_task(steady.receive())
    try:
        await running.settled()
        await asyncio.sleep(SETTLE_S)
        undisturbed = await _span(asyncio.sleep(UNDISTURBED_S))
        await asyncio.sleep(SETTLE_S)  # else their last ones meet the first kill
        takeovers: list[Takeover] = []
        running.sayings.replays.clear()
        killing = await _span(_kill_all(running, options.kills, takeovers, say))
        replays = list(running.sayings.replays)
        rolling = None
        if mode.back_after_s < running.settings.session_timeout_ms / 1000:
            say("restarting everything, one after the other")
            rolling = await _span(_restart_all(running))
        sending.cancel()
        await steady.drain(PATIENCE_S)
    finally:
        sending.cancel()
        receiving.cancel()
    found.problems += steady.tracker.problems
    before = steady.between(*undisturbed)
    if takeovers:
        kills = Kills.of(
            mode.name,
            running.settings.session_timeout_ms / 1000,
            [each.seconds for each in takeovers],
            replays,
            (before, steady.between(*killing)),
        )
        found.kills.append(kills)
        say(f"{kills}")
    if rolling is not None:
        restarted = Rolling(
            mode=mode.name,
            restarts=len(running.coordinators) + len(running.workers),
            seconds=round(rolling[1] - rolling[0], 1),
            undisturbed_s=Spans.of(before),
            plans_s=Spans.of(steady.between(*rolling)),
        )
        found.rolling.append(restarted)
        say(f"{restarted}, extra {restarted.extra_s} s")


async def _kill_all(
    running: Fleet, kills: int, takeovers: list[Takeover], say: Say
) -> None:
    dice = random.Random(SEED)
    for number in range(kills):
        victim = running.coordinators[number % len(running.coordinators)]
        # At any moment between two heartbeats.
        await asyncio.sleep(dice.random())
        takeover = await running.kill(victim)
        await wait_for("a take-over", lambda: takeover.is_over, PATIENCE_S)  # noqa: B023 - awaited here
        takeovers.append(takeover)
        say(f"kill {number + 1}: {_line(takeover)}")
        await running.settled(victim)


def _line(takeover: Takeover) -> str:
    seconds = takeover.seconds.values()
    return f"{len(seconds)} partitions in {min(seconds):.1f} to {max(seconds):.1f} s"


async def _restart_all(running: Fleet) -> None:
    for process in (*running.coordinators, *running.workers):
        await running.restart(process)


async def _span(what: Any) -> tuple[float, float]:
    began = time.perf_counter()
    await what
    return began, time.perf_counter()
