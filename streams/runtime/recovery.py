"""Rebalances: fence, replay, seek, resume, in this order.

Stock Faust resumes source partitions before it seeks them and then clears the
agents' queues, which loses events; and a timeout inside its recovery ends the
recovery task silently, so the worker keeps its partitions for ever and processes
nothing. Here the host takes over first, the flow resumes last, and whatever fails
ends the process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from aiokafka.errors import IllegalStateError
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service

from agents.watchdog import Watchdog
from streams.config import Settings
from streams.runtime.delivery import ChunkConsumer, ChunkTransport
from streams.runtime.exits import die
from streams.runtime.health import Health
from streams.runtime.host import Host
from streams.runtime.questions import Desk
from streams.runtime.telling import Telling

logger = logging.getLogger("planstream.runtime")


class FencedRecovery(Recovery):
    """Hands each new assignment to the host and resumes the flow when it is ready."""

    _rebalances = 0

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],
        newly_assigned: set[TP],
        generation_id: int = 0,
    ) -> None:
        """Note which rebalance this is, and go on as Faust does."""
        # Exact here: the next revocation cannot begin before this returns.
        self._rebalances = self.app.rebalancing_count
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    @Service.task
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):
                return
            self.signal_recovery_start.clear()
            try:
                await self._unless_rebalanced(self._generation_id, self._rebalances)
            except RebalanceAgain:
                continue
            except ServiceStopped:
                return

    @Service.task
    async def _watch_rebalance(self) -> None:
        limit = self.app.planstream.rebalance_timeout_ms / 1000
        since = time.monotonic()
        while not self.should_stop:
            await asyncio.sleep(1.0)
            if not self.app.rebalancing:
                since = time.monotonic()
            elif time.monotonic() - since > limit:
                die(f"a rebalance has not ended for {limit:.0f} s")

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Replaced by the host's bulk replay."""

    @Service.task
    async def _publish_stats(self) -> None:
        """There is no record-by-record recovery to report on."""

    async def _unless_rebalanced(self, generation: int, rebalances: int) -> None:
        """Recover, but begin anew when the next rebalance does.

        Faust passes timeouts to `wait_first`, which reports them as "stopped".
        """
        task = asyncio.ensure_future(self._recover_or_die(generation, rebalances))
        result = await self.wait_first(task, self.signal_recovery_start)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if result.stopped:
            raise ServiceStopped
        if task.cancelled():
            raise RebalanceAgain

    async def _recover_or_die(self, generation: int, rebalances: int) -> None:
        try:
            await self._recover(generation, rebalances)
        except IllegalStateError:  # no longer assigned: the next rebalance has begun
            raise RebalanceAgain from None
        except Exception as exc:  # noqa: BLE001 - no half-recovered process
            die("taking over partitions failed", exc)

    async def _recover(self, generation: int, rebalances: int) -> None:
        app, consumer = self.app, self.app.consumer
        app.in_recovery = self.in_recovery = True
        await app.on_rebalance_complete.send()
        sources = frozenset(
            tp for tp in consumer.assignment() if not consumer._is_changelog_tp(tp)
        )
        offsets = await app.host.assign(sources, generation)
        await consumer.seek_exactly(offsets)
        app.in_recovery = self.in_recovery = False
        if (app.rebalancing_count, app.consumer_generation_id) != (
            rebalances,
            generation,
        ):
            return  # the next rebalance has begun; its own recovery follows
        self._resume(consumer, sources)
        # After it: a host that has no room yet pauses what was just resumed.
        app.host.start(generation, offsets)
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()

    def _resume(self, consumer: ChunkConsumer, sources: frozenset[TP]) -> None:
        consumer._buffered_partitions.difference_update(sources)
        flow = self.app.flow_control
        for queue in list(flow._queues):
            if queue is not self.tables._changelog_queue:
                queue.clear()
        flow._suspend.clear()
        flow._resume.set()
        self.completed.set()
        consumer.resume_partitions(sources)
        consumer.resume_flow()


class HostTableManager(TableManager):
    """Faust's table manager with our recovery, and without its fixed sleep of 1 s."""

    _recovery: FencedRecovery | None

    @property
    def recovery(self) -> FencedRecovery:
        """The recovery service, made on its first use."""
        if self._recovery is None:
            self._recovery = FencedRecovery(
                self.app, self, beacon=self.beacon, loop=self.loop
            )
        return self._recovery

    async def on_start(self) -> None:
        """Register the tables, start the recovery."""
        await self._update_channels()
        await self.recovery.start()


class HostedApp(faust.App):
    """A Faust app whose assignments go to a host."""

    host: Host
    health: Health
    desk: Desk | None

    def __init__(self, *args: Any, planstream: Settings, **options: Any) -> None:
        self.planstream = planstream
        self.handed_over = asyncio.Event()
        """Set when everything is committed and given back: what remains is to leave."""
        super().__init__(*args, TableManager=HostTableManager, **options)

    def serve(
        self,
        host: Host,
        telling: Telling,
        *,
        watch: Callable[[], Watchdog] | None = None,
        desk: Desk | None = None,
    ) -> None:
        """Bind the host, and who answers questions; once, before the app starts."""
        self.host, self.desk = host, desk
        self.health = Health(
            self.planstream,
            self.conf.consumer_group_instance_id,
            host,
            consumer=lambda: self.consumer,
            is_stopping=lambda: self.should_stop,
            telling=telling,
            watch=watch,
        )
        self.on_partitions_revoked.connect(self._quiesce_host)
        self.on_before_shutdown.connect(self._close_host)

    async def on_start(self) -> None:
        """Begin to watch over what begins now."""
        await super().on_start()
        await self.health.start()
        if self.desk is not None:
            self.desk.start()

    async def _on_agent_error(self, agent: Any, exc: BaseException) -> None:
        # Faust would start it again, without the chunks that it had been given.
        die(f"the agent {agent.name} failed", exc)

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)

    async def _quiesce_host(self, app: faust.App, *_: Any, **__: Any) -> None:
        logger.info("%s: a rebalance: partitions are given up", self.conf.id)
        # Faust stops the flow on a revocation only if it had an assignment.
        app.consumer.stop_flow()
        limit_ms = self.planstream.commit_timeout_ms
        what = f"{self.conf.id}: giving partitions up"
        await _within(limit_ms, what, self.host.quiesce())

    async def _close_host(self, *_: Any, **__: Any) -> None:
        limit_ms = self.planstream.shutdown_timeout_ms
        what = f"{self.conf.id}: the shutdown"
        await _within(limit_ms, what, self._hand_over())
        self.handed_over.set()

    async def _hand_over(self) -> None:
        # A take-over that is under way must not go on beside the hand-over.
        await self.tables.stop()
        # Beside each other: the host may need all the time that there is.
        farewell = [] if self.desk is None else [self.desk.stop()]
        await asyncio.gather(self.host.close(), *farewell)
        await self.health.stop()


async def _within(limit_ms: int, what: str, awaitable: Awaitable[None]) -> None:
    try:
        await asyncio.wait_for(awaitable, limit_ms / 1000)
    except TimeoutError as exc:
        die(f"{what} took longer than {limit_ms} ms", exc)
    except Exception as exc:  # noqa: BLE001 - what was not given back is in doubt
        die(f"{what} failed", exc)
