"""Brings results to those who wait for them: one reader for any number of waiters."""

import asyncio
from collections import OrderedDict
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from streams.broker import CONNECTION_ERRORS, connect, reason_of
from streams.config import Settings
from streams.exceptions import (
    ClientStopped,
    PlanRejected,
    PlanstreamError,
    ResultsLost,
    ResultTimeout,
)
from streams.history import History
from streams.results import (
    CHUNK,
    POLL_MS,
    as_text,
    assign,
    new_consumer,
    partitions_of,
    rejected,
)
from streams.runtime.fetching import hand_over_first
from streams.topics import Topics

RECENT_BYTES = 64 * 2**20
RECORD_COST_BYTES = 500
"""What a record kept in memory costs beside its value."""
MAX_EXPECTED = 100_000
DUPLICATE = "DUPLICATE_EXECUTION"


class Recent:
    """The latest results and dead letters, as records, up to a size in memory."""

    def __init__(self, limit_bytes: int = RECENT_BYTES) -> None:
        self._limit = limit_bytes
        self._records: OrderedDict[str, ConsumerRecord] = OrderedDict()
        self._bytes = 0

    def get(self, plan_id: str) -> ConsumerRecord | None:
        """Find a plan's record."""
        return self._records.get(plan_id)

    def add(self, plan_id: str, record: ConsumerRecord) -> None:
        """Keep a record, and forget the oldest beyond the limit."""
        self.discard(plan_id)
        self._records[plan_id] = record
        self._bytes += _cost(record)
        while self._bytes > self._limit:
            _, oldest = self._records.popitem(last=False)
            self._bytes -= _cost(oldest)

    def discard(self, plan_id: str) -> None:
        """Forget a plan's record."""
        if (record := self._records.pop(plan_id, None)) is not None:
            self._bytes -= _cost(record)


def _cost(record: ConsumerRecord) -> int:
    return RECORD_COST_BYTES + len(record.value or b"")


class Waiting:
    """One reader of all results, and those who wait for one of them.

    The reader's position is taken at the start, before anything is submitted: the
    result of what was submitted afterwards cannot pass unseen. A plan that was not
    `expected` may have ended before; it is looked up in the topics' past as well.
    """

    def __init__(
        self, settings: Settings, *, lookback_ms: int, recent_bytes: int = RECENT_BYTES
    ) -> None:
        self._settings = settings
        self._topics = Topics.of(settings)
        self._recent = Recent(recent_bytes)
        self._waiters: dict[str, list[asyncio.Future[ConsumerRecord]]] = {}
        self._expected: OrderedDict[str, None] = OrderedDict()
        self._history = History(settings, lookback_ms, self._deliver, self._fail_some)
        self._consumer: AIOKafkaConsumer | None = None
        self._reading: asyncio.Task[None] | None = None
        self._failure: PlanstreamError | None = ClientStopped("it is not running")

    async def start(self) -> None:
        """Take the position, begin to read.

        Raises:
            BrokerUnreachable: The broker does not answer.
            ResultsLost: It does not say where the topics end.
        """
        consumer = new_consumer(self._settings)
        await connect(consumer, self._settings)
        hand_over_first(consumer)
        topics = (*self._topics.results, self._topics.rejected)
        try:
            await assign(consumer, partitions_of(topics), since=None)
        except CONNECTION_ERRORS as error:
            await consumer.stop()
            raise ResultsLost(reason_of(error)) from error
        self._consumer = consumer
        self._failure = None
        self._reading = asyncio.create_task(self._read(consumer), name="read results")

    async def stop(self) -> None:
        """Stop to read; whoever still waits gets `ClientStopped`."""
        self._fail(ClientStopped("it was stopped"))
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        await self._history.stop()
        if self._consumer is not None:
            await self._consumer.stop()

    def expect(self, plan_id: str) -> None:
        """Note that a plan is about to be submitted: its result is yet to come."""
        record = self._recent.get(plan_id)
        if record is not None and self._is_letter(record):
            self._recent.discard(plan_id)  # the ids of a dead letter are free (R14)
        self._expected[plan_id] = None
        if len(self._expected) > MAX_EXPECTED:
            self._expected.popitem(last=False)

    async def wait(
        self, plan_id: str, timeout: float | None, since: int | None
    ) -> ConsumerRecord:
        """Wait for the record of a plan's result.

        Raises:
            ResultTimeout: It did not come in time.
            PlanRejected: The plan became a dead letter, without a result.
            ResultsLost: The reader has failed.
            ClientStopped: The client is not running.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        record = self._recent.get(plan_id)
        if record is None:
            record = await self._come(plan_id, timeout, since)
        if self._is_letter(record):
            raise PlanRejected(plan_id, rejected(record))
        return record

    async def _come(
        self, plan_id: str, timeout: float | None, since: int | None
    ) -> ConsumerRecord:
        future = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(plan_id, []).append(future)
        if since is not None or plan_id not in self._expected:
            self._history.look_up(plan_id, since)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise ResultTimeout(plan_id, timeout or 0) from None
        finally:
            self._leave(plan_id, future)

    def _leave(self, plan_id: str, future: asyncio.Future[ConsumerRecord]) -> None:
        waiting = self._waiters.get(plan_id)
        if waiting is None:  # delivered: nobody waits any longer
            return
        waiting.remove(future)
        if not waiting:
            del self._waiters[plan_id]

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        """Deliver records as they come; a failure reaches everybody who waits."""
        try:
            while True:
                batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=CHUNK)
                for batch in batches.values():
                    for record in batch:
                        self._take(record)
        except Exception as error:  # noqa: BLE001 whatever it is, waiters must know
            self._fail(ResultsLost(reason_of(error)))

    def _is_letter(self, record: ConsumerRecord) -> bool:
        return bool(record.topic == self._topics.rejected.name)

    def _take(self, record: ConsumerRecord) -> None:
        if self._is_letter(record):
            self._take_letter(record)
        else:
            self._deliver(record)

    def _deliver(self, record: ConsumerRecord) -> None:
        plan_id = as_text(record.key)
        self._recent.add(plan_id, record)
        self._expected.pop(plan_id, None)
        for future in self._waiters.pop(plan_id, ()):
            if not future.done():
                future.set_result(record)

    def _take_letter(self, record: ConsumerRecord) -> None:
        """Deliver the letter of a plan without a result; find that of a duplicate."""
        plan_id = as_text(record.key)
        if rejected(record).reason != DUPLICATE:
            if self._recent.get(plan_id) is None:
                self._deliver(record)
        elif self._expected.pop(plan_id, False) is None and plan_id in self._waiters:
            # It was submitted before: the result of then is the result (R14).
            self._history.look_up(plan_id, None)

    def _unexpect(self, plan_id: str) -> bool:
        """Expect a plan's result no longer: it may have come long ago."""
        was_expected = plan_id in self._expected
        self._expected.pop(plan_id, None)
        return was_expected

    def _fail_some(self, plan_ids: list[str], error: PlanstreamError) -> None:
        for plan_id in plan_ids:
            for future in self._waiters.pop(plan_id, ()):
                if not future.done():
                    future.set_exception(error)

    def _fail(self, error: PlanstreamError) -> None:
        self._failure = self._failure or error
        self._fail_some(list(self._waiters), self._failure)
