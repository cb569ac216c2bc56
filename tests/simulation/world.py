"""A whole installation in memory, under faults that the seed chooses."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from agents import reporting
from agents.engine import EngineSettings, StepEngine
from agents.environments import ReadSubmission
from agents.references import ReferenceTerms
from schemas import codec
from schemas.steps import StepRequest, StepSucceeded
from streams.apps import coordinator_terms
from streams.config import Settings
from streams.runtime import (
    chores,
    clients,
    commit,
    coordinator,
    exits,
    halts,
    hanging,
    origins,
    replay,
    submission_reader,
    watch,
    worker,
)
from streams.runtime.coordinator import CoordinatorHost
from streams.runtime.outcomes import OutcomeSender
from streams.runtime.producers import Entry
from streams.runtime.transactions import NOBODY
from streams.runtime.worker import WorkerHost
from streams.topics import Topics, partition_of
from tests.simulation.broker import Broker
from tests.simulation.clients import Consumer, Producer
from tests.simulation.groups import SESSION_S, Group, GroupConsumer
from tests.simulation.plans import RECIPES, RETRIED, Made, Maker, Ran, registry
from tests.simulation.processes import OWNER, Process, SimLoop, Vanished

PARTITIONS = 2
SETTINGS = Settings(
    partitions=PARTITIONS, request_partitions=2, max_deliveries=1_000_000
)
TOPICS = Topics.of(SETTINGS)
REQUESTS = TOPICS.requests["default"]
FAULTS = (
    *("crash", "crash", "fuse", "fuse", "pause", "pause", "replace"),
    *("rebalance", "clock", "repeat", "forge", "again"),
)
STALLS = ("crash", "fuse", "pause", "rebalance", *("stall",) * 6)
END_S = 1500.0
"""Whatever has no result by then is stuck: it is past every limit."""


@dataclass
class World:
    """What a run leaves behind."""

    seed: int
    loop: SimLoop
    broker: Broker
    dice: random.Random
    with_stalls: bool = False
    """Whether commits are held back, and what was folded meanwhile is lost."""
    with_references: bool = False
    """Whether requests refer to their environments, however small."""
    made: dict[str, Made] = field(default_factory=dict)
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    runs: list[Ran] = field(default_factory=list)
    exits: list[str] = field(default_factory=list)
    """Why processes ended that had no reason to."""
    clock_was_stepped: bool = False
    faults: list[str] = field(default_factory=list)
    live: dict[str, GroupConsumer] = field(default_factory=dict)
    last_words: str = ""

    def start(self, name: str) -> None:
        """Start a process of a name, new or after its end."""
        process = Process(self.loop, name, self.dice.choice((0, 0, 5, -40)))
        group = self.coordinators if name.startswith("c") else self.workers
        consumer = GroupConsumer(group, process)
        make = self._coordinator if group is self.coordinators else self._worker
        consumer.host = make(consumer)
        self.live[name] = consumer
        process.on_end = lambda _: self._ended(consumer)
        group.join(consumer)

    def _coordinator(self, consumer: GroupConsumer) -> CoordinatorHost:
        terms = coordinator_terms(SETTINGS, TOPICS)
        if self.with_references:
            terms = replace(terms, references=ReferenceTerms(max_inline_bytes=0))
        return CoordinatorHost(
            SETTINGS, TOPICS, terms, _giving(consumer), lambda _: None
        )

    def _worker(self, consumer: GroupConsumer) -> WorkerHost:
        process = consumer.process
        handlers = registry(self.runs, process)

        def make_engine(sender: OutcomeSender, read: ReadSubmission) -> StepEngine:
            return StepEngine(
                handlers,
                sender,
                EngineSettings(concurrency=8, is_watched=False),
                process.name,
                read=read,
                fatal=exits.die,
                submit=sender.submit,
                clock=now_ms,
                on_room=lambda: host.on_room(),  # noqa: PLW0108 - there is no host yet
            )

        host = WorkerHost(
            SETTINGS, TOPICS, make_engine, _giving(consumer), lambda _: None
        )
        return host

    def _ended(self, consumer: GroupConsumer) -> None:
        name = consumer.process.name
        if self.live.get(name) is consumer:
            delay = self.dice.choice((0.2, 2.0, 9.0))
            self.broker.later(delay, self._restart, consumer)
        self.broker.later(SESSION_S, self._expire, consumer)

    def _restart(self, ended: GroupConsumer) -> None:
        if self.live.get(ended.process.name) is ended:
            self.start(ended.process.name)

    def _expire(self, consumer: GroupConsumer) -> None:
        if consumer.process.is_dead or consumer.process.is_paused:
            consumer.group.leave(consumer)

    def exit(self) -> None:
        """End the running process, which is in doubt."""
        process = OWNER.get()
        if process is None:
            raise Vanished
        # A takeover that was asked for before may arrive late and fence the owner, who
        # starts again: that costs a restart, and nothing else.
        # A commit that is held back longer than a rebalance waits costs one, too.
        late = self.broker.fenced_late or self.with_stalls
        if not (process.is_dead or process.paused_since_ready or late):
            self.exits.append(f"{process.name}: {self.last_words}")
        process.crash()

    # -- what happens

    def submit(self, made: Made) -> None:
        partition = partition_of(made.plan_id.encode(), PARTITIONS)
        if self.dice.random() < 0.1:
            partition = self.dice.randrange(PARTITIONS)
        self.made[made.plan_id] = made
        place = (TOPICS.plans.name, partition)
        self.broker.append(place, [Entry(None, made.value)], None)
        self.sent.append((made.plan_id, made.value))

    def fault(self) -> None:
        name = self.dice.choice(sorted(self.live))
        consumer = self.live[name]
        process = consumer.process
        kind = self.dice.choice(STALLS if self.with_stalls else FAULTS)
        self.faults.append(f"{self.loop.time():.3f} {kind} {name}")
        {
            "crash": process.crash,
            "fuse": lambda: self._light_fuse(process),
            "pause": lambda: self._pause(consumer, replaced=False),
            "replace": lambda: self._pause(consumer, replaced=True),
            "rebalance": consumer.group.trigger,
            "clock": lambda: self._step_clock(process),
            "stall": self._stall,
            "again": self._submit_again,
            "repeat": self._repeat,
            "forge": self._forge,
        }[kind]()

    def _light_fuse(self, process: Process) -> None:
        process.fuse = self.dice.randint(1, 30)

    def _step_clock(self, process: Process) -> None:
        self.clock_was_stepped = True
        process.skew_ms += self.dice.choice((-30_000, 30_000))

    def _submit_again(self) -> None:
        if self.sent:
            plan_id, value = self.dice.choice(self.sent)
            place = (TOPICS.plans.name, partition_of(plan_id.encode(), PARTITIONS))
            self.broker.append(place, [Entry(None, value)], None)
            self.sent.append((plan_id, value))

    def _pause(self, consumer: GroupConsumer, *, replaced: bool) -> None:
        process = consumer.process
        if process.is_paused or process.is_dead:
            return
        span = self.dice.choice((0.5, 3.0, 8.0, 20.0))
        process.pause()
        if replaced:
            self.broker.later(0.5, self._replace, consumer)
        self.broker.later(SESSION_S, self._expire, consumer)
        self.broker.later(span, process.go_on)
        notice = span + self.dice.uniform(0.01, 1.0)
        self.broker.later(notice, consumer.group.notice, consumer)

    def _replace(self, consumer: GroupConsumer) -> None:
        if self.live.get(consumer.process.name) is consumer:
            self.start(consumer.process.name)

    def _stall(self) -> None:
        """Hold all commits back, and crash a coordinator that goes on meanwhile."""
        span = self.dice.choice((1.0, 3.0, 6.0))
        self.broker.commits_resume = self.loop.time() + span
        owner = self.live[self.dice.choice(("c1", "c2"))]
        self.broker.later(span * self.dice.uniform(0.2, 1.0), owner.process.crash)

    def _repeat(self) -> None:
        """Send an old outcome or command again."""
        topics = (TOPICS.step_outcomes.name, TOPICS.commands.name)
        known = [each for topic in topics for each in self.broker.committed(topic)]
        if known:
            one = self.dice.choice(known)
            entry = Entry(one.key, one.value, one.headers)
            self.broker.append((one.topic, one.partition), [entry], None)

    def _forge(self) -> None:
        """Answer an attempt that was given up, with what nobody returned."""
        found = []
        for record in self.broker.committed(REQUESTS.name):
            _, request = codec.decode_fields(record.value, StepRequest)
            if request["attempt"] > 1:
                found.append(request)
        if not found:
            return
        request = self.dice.choice(found)
        names = ("plan_id", "execution_id", "step_id", "step_number")
        fields = {name: request[name] for name in names} | {
            "attempt": request["attempt"] - 1,
            "worker": "nobody",
            "started_at": self.loop.now_ms(),
            "ended_at": self.loop.now_ms(),
            "result": '"forged"',
        }
        key = request["plan_id"].encode()
        place = (TOPICS.step_outcomes.name, partition_of(key, PARTITIONS))
        entry = Entry(key, codec.encode_fields(StepSucceeded, fields))
        self.broker.append(place, [entry], None)

    async def run(self, plans: int, faults: int) -> None:
        """Submit, harm, and wait until all is quiet."""
        sources = [TP(name, n) for name in TOPICS.sources for n in range(PARTITIONS)]
        self.coordinators = Group(self.broker, "coordinators", sources)
        places = [TP(REQUESTS.name, number) for number in range(2)]
        self.workers = Group(self.broker, "workers", places)
        runs = [asyncio.create_task(self.coordinators.run())]
        runs += [asyncio.create_task(self.workers.run())]
        for name in ("c1", "c2", "w1", "w2"):
            self.start(name)
        maker = Maker(self.dice, self.loop.now_ms)
        events = [True] * plans + [False] * faults
        self.dice.shuffle(events)
        for is_plan in events:
            await asyncio.sleep(self.dice.choice((0.01, 0.2, 1.0, 3.0)))
            if is_plan:
                self.submit(maker.make(RETRIED if self.with_stalls else RECIPES))
            else:
                self.fault()
        self.faults.append(f"{self.loop.time():.3f} no more")
        await self._quiet()
        for task in runs:
            task.cancel()

    async def _quiet(self) -> None:
        while self.loop.time() < END_S:
            await asyncio.sleep(3)
            if self._have_ended():
                for consumer in self.live.values():
                    consumer.process.fuse = 0  # else there may be no time to take over
                await asyncio.sleep(22)  # pauses end, housekeeping passes markers
                return

    def _have_ended(self) -> bool:
        ended = {
            (record.key or b"").decode()
            for topic in (TOPICS.success, TOPICS.partial, TOPICS.failure)
            for record in self.broker.committed(topic.name)
        }
        return self.made.keys() <= ended


def _giving(consumer: GroupConsumer) -> Any:
    return lambda: consumer


def now_ms() -> int:
    """The clock of the running process."""
    loop, process = asyncio.get_running_loop(), OWNER.get()
    assert isinstance(loop, SimLoop)
    return loop.now_ms() + (0 if process is None else process.skew_ms)


class _Words:
    """What a process says before it ends."""

    def __init__(self, world: World) -> None:
        self._world = world

    def critical(self, _text: str, reason: str, *, exc_info: object = None) -> None:
        self._world.last_words = f"{reason} ({exc_info!r})"


def _exit(world: World) -> Any:
    def leave(_code: int) -> None:
        if sys.exc_info()[0] is GeneratorExit:  # a coroutine of a dead process
            raise GeneratorExit
        world.exit()
        raise Vanished

    return leave


async def _nothing_known(_client: Any, _transactional_id: str) -> Any:
    return NOBODY


async def _nothing_hidden(_client: Any, _tps: Any) -> list[Any]:
    """No partition of the simulated broker is ever without a leader."""
    return []


def _patch(patch: pytest.MonkeyPatch, world: World) -> None:
    """Put the simulation in the place of the broker, the clocks and the exit."""
    broker, loop = world.broker, world.loop
    clock = SimpleNamespace(monotonic=loop.time, time=lambda: now_ms() / 1000)
    for module in (chores, commit, coordinator, hanging, worker):
        patch.setattr(module, "time", clock)
    patch.setattr(hanging, "last_transaction", _nothing_known)
    patch.setattr(hanging, "hidden_logs", _nothing_hidden)
    patch.setattr(coordinator, "now_ms", now_ms)
    patch.setattr(watch, "TICK_S", 0.1)
    patch.setattr(origins, "LOOK_S", 1e6)

    async def ids(_monitor: Any, names: Any) -> dict[str, str]:
        return {name: f"id-{name}" for name in names}

    patch.setattr(origins, "topic_ids", ids)
    patch.setattr(exits, "os", SimpleNamespace(_exit=_exit(world)))
    patch.setattr(exits, "logging", SimpleNamespace(shutdown=lambda: None))
    patch.setattr(exits, "logger", _Words(world))
    hexes = random.Random(world.seed)
    tokens = SimpleNamespace(token_hex=lambda size: hexes.randbytes(size).hex())
    patch.setattr(reporting, "secrets", tokens)

    def consumer(**options: Any) -> Consumer:
        return Consumer(broker, options.get("isolation_level", ""))

    for each in (clients, halts, replay, submission_reader, worker):
        patch.setattr(each, "AIOKafkaConsumer", consumer)
    for each in (clients, worker):
        patch.setattr(each, "idempotent_producer", lambda _: Producer(broker))
    patch.setattr(clients, "best_effort_producer", lambda _: Producer(broker))
    patch.setattr(
        coordinator, "transactional_producer", lambda _, name: Producer(broker, name)
    )


def simulate(
    seed: int,
    plans: int = 4,
    faults: int = 7,
    *,
    with_stalls: bool = False,
    with_references: bool = False,
) -> World:
    """Run a seed; what it leaves behind is the same every time."""
    loop = SimLoop()
    loop.set_exception_handler(lambda *_: None)
    dice = random.Random(seed)
    world = World(seed, loop, Broker(loop, dice), dice, with_stalls, with_references)
    with pytest.MonkeyPatch.context() as patch, _silence():
        _patch(patch, world)
        try:
            loop.run_until_complete(world.run(plans, faults))
        finally:
            _clean_up(loop)
    return world


@contextmanager
def _silence() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _clean_up(loop: SimLoop) -> None:
    """Close what was left of processes, without running any of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for task in loop.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with suppress(BaseException):
                task.get_coro().close()
        loop.close()
