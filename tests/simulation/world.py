"""A whole installation in memory, under faults that the seed chooses."""

from __future__ import annotations

import asyncio
import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from faust.types import TP

from agents.engine import EngineSettings, StepEngine
from agents.environments import ReadSubmission
from agents.partitioner import partition_of
from agents.references import ReferenceTerms
from agents.tables import STEPS, plan_key, step_key
from schemas import codec
from schemas.rows import StepRow
from schemas.steps import StepRequest, StepSucceeded
from streams.apps import coordinator_terms
from streams.config import Settings
from streams.runtime import exits
from streams.runtime.coordinator import CoordinatorHost
from streams.runtime.outcomes import OutcomeSender
from streams.runtime.producers import Entry
from streams.runtime.worker import WorkerHost
from streams.topics import Topics
from tests.simulation.broker import Broker
from tests.simulation.groups import SESSION_S, Group, GroupConsumer
from tests.simulation.patching import now_ms, patch_all
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
LOSSES = ("crash", "fuse", "pause", "rebalance", *("lose",) * 6)
PATIENCE_S = 20.0
"""How long a group waits for a commit when none is held back; else for a session."""
LOOKS_S = 12.0
"""In this time, once a log has a leader again, what hangs there has been found."""
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
    with_losses: bool = False
    """Whether logs are without a leader when transactions end."""
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

    @property
    def holds_back(self) -> bool:
        """Whether commits are held back."""
        return self.with_stalls or self.with_losses

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
        is_replaced = self.live[process.name].process is not process
        is_fenced = "ProducerFenced" in self.last_words
        may_end = (
            process.paused_since_ready
            or self.broker.fenced_late
            or (is_fenced and (is_replaced or self.holds_back))
        )
        if not (process.is_dead or may_end):
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
        kind = self.dice.choice(self._faults())
        self.faults.append(f"{self.loop.time():.3f} {kind} {name}")
        {
            "crash": process.crash,
            "fuse": lambda: self._light_fuse(process),
            "pause": lambda: self._pause(consumer, replaced=False),
            "replace": lambda: self._pause(consumer, replaced=True),
            "rebalance": consumer.group.trigger,
            "clock": lambda: self._step_clock(process),
            "stall": self._stall,
            "lose": self._lose,
            "again": self._submit_again,
            "repeat": self._repeat,
            "forge": self._forge,
        }[kind]()

    def _faults(self) -> tuple[str, ...]:
        if self.with_losses:
            return LOSSES
        return STALLS if self.with_stalls else FAULTS

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

    def _lose(self) -> None:
        """Hold commits back, and take the leader from a log that waits for one."""
        span = self.dice.choice((0.0, 1.0, 3.0, 6.0))
        self.broker.commits_resume = self.loop.time() + span
        self.broker.later(span * self.dice.uniform(0.2, 1.0), self._unlead)

    def _unlead(self) -> None:
        broker, dice = self.broker, self.dice
        places = sorted(place for place, by in broker.open.items() if by)
        if not places:
            topics = (TOPICS.changelog, TOPICS.success)
            places = [(x.name, n) for x in topics for n in range(PARTITIONS)]
        place, span = dice.choice(places), dice.choice((0.5, 4.0, 15.0))
        broker.leads_at[place] = self.loop.time() + span
        owner = self.live[dice.choice(("c1", "c2"))].process
        when = dice.choice((0.0, span * dice.random(), span))
        broker.later(when, self._light_fuse, owner)

    def _repeat(self) -> None:
        """Send an old outcome or command again."""
        topics = (TOPICS.step_outcomes.name, TOPICS.commands.name)
        known = [each for topic in topics for each in self.broker.committed(topic)]
        if known:
            one = self.dice.choice(known)
            entry = Entry(one.key, one.value, one.headers)
            self.broker.append((one.topic, one.partition), [entry], None)

    def _forge(self) -> None:
        """Answer an attempt that was given up, with what nobody returned.

        Given up for good: a request may be of a fold that was never committed.
        """
        changelog = self.broker.committed(TOPICS.changelog.name)
        rows = {record.key: record.value for record in changelog}
        found = []
        for record in self.broker.committed(REQUESTS.name):
            _, request = codec.decode_fields(record.value, StepRequest)
            plan = plan_key(request["plan_id"])
            key = STEPS + step_key(plan, request["step_number"])
            if row := rows.get(key):
                given_up = codec.decode_row(StepRow, row)["attempt"] - 1
            else:  # its plan has ended, or is not known yet
                given_up = request["attempt"] - 1 if key in rows else 0
            found += [(request, given_up)] if given_up else []
        if not found:
            return
        request, given_up = self.dice.choice(found)
        names = ("plan_id", "execution_id", "step_id", "step_number")
        fields = {name: request[name] for name in names} | {
            "attempt": given_up,
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
        self.broker.loses_leaders = self.with_losses
        self.coordinators = Group(self.broker, "coordinators", sources)
        if not self.holds_back:
            self.coordinators.patience_s = PATIENCE_S
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
                self.submit(maker.make(RETRIED if self.holds_back else RECIPES))
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
        latest = max(self.broker.leads_at.values(), default=0.0)
        return self.made.keys() <= ended and self.loop.time() > latest + LOOKS_S


def _giving(consumer: GroupConsumer) -> Any:
    return lambda: consumer


def simulate(
    seed: int,
    plans: int = 4,
    faults: int = 7,
    *,
    with_stalls: bool = False,
    with_losses: bool = False,
    with_references: bool = False,
) -> World:
    """Run a seed; what it leaves behind is the same every time."""
    loop = SimLoop()
    loop.set_exception_handler(lambda *_: None)
    dice = random.Random(seed)
    modes = (with_stalls, with_losses, with_references)
    world = World(seed, loop, Broker(loop, dice), dice, *modes)
    with pytest.MonkeyPatch.context() as patch, _silence():
        patch_all(patch, world)
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
