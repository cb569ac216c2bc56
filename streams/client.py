"""The client: submits plans, waits for their results, asks how far they are."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, Unpack

from aiokafka import AIOKafkaProducer

from agents.partitioner import partition_of
from schemas.codec import Format, decode, decode_fields, encode
from schemas.context import PlanSubmission
from schemas.plan import Plan
from schemas.results import PlanResult
from schemas.validation import Ids, is_uuid4, peek_ids, validate
from streams import bootstrap
from streams.asking import Asking
from streams.broker import CONNECTION_ERRORS, connect, reason_of
from streams.config import Settings
from streams.exceptions import ClientStopped, InvalidPlan, SubmissionRefused
from streams.results import ResultStream
from streams.status import PlanResources, PlanStatus
from streams.submissions import Completed, Members, complete, now_ms, write
from streams.topics import Topics
from streams.waiting import Waiting

LOOKBACK_MS = 3_600_000
"""How far back the result of a plan is looked for that another client submitted."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submission that the broker has acknowledged."""

    plan_id: str
    execution_id: str
    partition: int
    offset: int
    steps: Mapping[str, str] = field(default_factory=dict)
    """The ids of the steps that were given by name, by that name."""


class PlanClient:
    """Submits plans, finds their results, and tells how far they are.

    ```python
    async with PlanClient() as client:
        submitted = await client.submit(plan, {"carrier": "pigeon"})
        result = await client.result(submitted.plan_id, timeout=30)
    ```

    One client serves a whole process, any number of tasks at once, on the event loop
    that started it: concurrent submissions share the producer's batches, those who wait
    share one reader.

    Args:
        settings: Where the broker is, and what the topics are called.
        results: Whether results are wanted; without, nothing is read.
        check: Whether the topics are compared with the settings at the start.
        lookback_ms: How far back `result` looks for what this client did not submit.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        results: bool = True,
        check: bool = True,
        lookback_ms: int = LOOKBACK_MS,
    ) -> None:
        self._settings = settings or Settings.load()
        self._topics = Topics.of(self._settings)
        self._format = Format(self._settings.format)
        self._check = check
        self._producer: AIOKafkaProducer | None = None
        self._asking: Asking | None = None
        self._asking_starts = asyncio.Lock()
        self._waiting = None
        if results:
            self._waiting = Waiting(self._settings, lookback_ms=lookback_ms)

    async def start(self) -> None:
        """Connect; from now on no result passes unseen.

        Raises:
            BrokerUnreachable: No broker answers.
            TopicsDoNotFit: Topics are missing, or not as they must be.
        """
        if self._check:
            await bootstrap.require(self._settings, self._topics.of_client())
        producer = AIOKafkaProducer(
            **self._settings.connection(),
            acks="all",
            enable_idempotence=True,
            max_request_size=self._settings.max_request_bytes,
        )
        await connect(producer, self._settings)
        self._producer = producer
        if self._waiting is not None:
            await self._waiting.start()

    async def stop(self) -> None:
        """Send what is under way, then leave; who waits gets `ClientStopped`."""
        producer, self._producer = self._producer, None
        asking, self._asking = self._asking, None
        if asking is not None:
            await asking.stop()
        if self._waiting is not None:
            await self._waiting.stop()
        if producer is not None:
            await producer.stop()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def submit(
        self,
        plan: Mapping[str, Any] | Plan,
        environment: Mapping[str, Any],
        *,
        validate: bool = True,
        **members: Unpack[Members],
    ) -> Submitted:
        """Submit a plan, and wait until the broker has it.

        What is missing is filled in: the plan's `id`, `version` and `created_at`, the
        `execution_id`, `started_at` (now) and `deadline_ms` (the plan's timeout and a
        minute after the start). Steps may be called by short names in `id` and
        `depends_on`; `Submitted.steps` tells their ids.

        Args:
            plan: The plan (contract §1), in plain Python values or as a model.
            environment: What the handlers find in `step.environment`, by name.
            validate: Whether to look for violations before sending. Without, the record
                is JSON whatever the settings say, for only JSON can carry any mistake.
            **members: Further members of the submission (§2): `execution_id`,
                `started_at`, `deadline_ms`, `user_id`, `request_id`,
                `correlation_context`, `parent_execution_id`.

        Raises:
            InvalidPlan: With all violations.
            SubmissionRefused: The broker has not acknowledged it.
            TypeError: A value has no JSON form.
            ValueError: A value is NaN, an infinity, or nests too deep.
            ClientStopped: The client is not running.
        """
        completed = complete(write(plan, environment, **members), now_ms())
        value = completed.text.encode()
        if validate:
            submission = validated(value)
            ids = Ids(submission.plan.id, submission.execution_id)
            if self._format is not Format.JSON:
                value = encode(submission, self._format)
        else:
            ids = _peeked(value)
        return await self._send(ids, value, completed)

    async def submit_bytes(self, value: bytes) -> Submitted:
        """Submit a record as it is, Avro or JSON, and wait until the broker has it.

        Raises:
            SubmissionRefused: It has no ids, or the broker has not acknowledged it.
            ClientStopped: The client is not running.
        """
        return await self._send(_peeked(value), value)

    async def result(
        self, plan_id: str, timeout: float | None = None, *, since: int | None = None
    ) -> PlanResult:
        """Wait for a plan's result, whether it is there already or comes later.

        Args:
            plan_id: The plan's id.
            timeout: Seconds.
            since: Unix ms; look for results from then on. By default results of plans
                that this client submitted are seen as they come, and others are looked
                for in the last hour (`lookback_ms`) as well.

        Raises:
            ResultTimeout: There was none in time; it may still come.
            PlanRejected: The plan became a dead letter.
            ResultsLost: Results can no longer be read; start another client.
            ClientStopped: The client is not running, or reads no results.
        """
        if self._waiting is None:
            raise ClientStopped("it was made without results")
        record = await self._waiting.wait(plan_id, timeout, since)
        return decode(record.value, PlanResult)

    def results(
        self, since: int | None = None, *, rejected: bool = False
    ) -> ResultStream:
        """Read all results, of whoever submitted the plans, one after the other.

        Args:
            since: Unix ms; 0 is from the beginning, None what comes from now on.
            rejected: Whether dead letters are wanted too.
        """
        return ResultStream(self._settings, since=since, rejected=rejected)

    async def status(self, asked_for: str, timeout: float = 10.0) -> PlanStatus:
        """Ask how far a plan is: the owner of its partition tells what is committed.

        A running plan is told step by step, one that has ended in summary, for as long
        as its id is remembered. "Unknown" is said when all owners have answered; when
        some have not, `PlanStatus.away` names their partitions.

        Args:
            asked_for: The plan's id, or its execution's, which takes longer.
            timeout: Seconds to wait for the owners' answers.

        Raises:
            ValueError: It is no id.
            TopicsDoNotFit: The topics of questions and answers are missing.
            NotAsked: The broker has not taken the question.
            ClientStopped: The client is not running.
        """
        return await (await self._asker(asked_for)).status(asked_for, timeout)

    async def resources(self, asked_for: str, timeout: float = 10.0) -> PlanResources:
        """Ask what an execution holds, at its coordinator and at all step workers.

        After the execution's end that is nothing, once its cancelled attempts have
        ended (R30).

        Args:
            asked_for: The plan's id, or its execution's, which takes longer.
            timeout: Seconds to wait for the coordinators, and then for the workers.

        Raises:
            ValueError: It is no id.
            TopicsDoNotFit: The topics of questions and answers are missing.
            NotAsked: The broker has not taken the questions.
            BrokerUnreachable: It does not say who the workers are.
            ClientStopped: The client is not running.
        """
        return await (await self._asker(asked_for)).resources(asked_for, timeout)

    async def _asker(self, asked_for: str) -> Asking:
        """Begin to read answers when the first question is asked."""
        if not is_uuid4(asked_for):
            raise ValueError(f"{asked_for!r} is neither a plan's nor an execution's id")
        if self._producer is None:
            raise ClientStopped("it is not running")
        async with self._asking_starts:
            if self._asking is None:
                if self._check:
                    needed = self._topics.of_asking()
                    await bootstrap.require(self._settings, needed)
                asking = Asking(self._settings, self._producer)
                await asking.start()
                self._asking = asking
        return self._asking

    async def _send(
        self, ids: Ids, value: bytes, completed: Completed | None = None
    ) -> Submitted:
        if self._producer is None:
            raise ClientStopped("it is not running")
        if self._waiting is not None:
            self._waiting.expect(ids.plan_id)
        key = ids.plan_id.encode()
        plans = self._topics.plans
        partition = partition_of(key, plans.partitions)
        try:
            sent = await self._producer.send(
                plans.name, value, key=key, partition=partition
            )
            # Whoever is cancelled here must not take the batch of others with him.
            place = await asyncio.shield(sent)
        except CONNECTION_ERRORS as error:
            raise SubmissionRefused(ids.plan_id, reason_of(error)) from error
        steps = {} if completed is None else completed.steps
        return Submitted(
            ids.plan_id, ids.execution_id, place.partition, place.offset, steps
        )


def validated(value: bytes) -> PlanSubmission:
    """Read a submission, and look for everything that is wrong with it (R35).

    Raises:
        InvalidPlan: With all violations.
        DecodeError: It is no record at all.
    """
    _, fields = decode_fields(value, PlanSubmission)
    submission, violations = validate(fields)
    if submission is None:
        raise InvalidPlan(violations)
    return submission


def _peeked(value: bytes) -> Ids:
    ids = peek_ids(value)
    if ids is None:
        raise SubmissionRefused(None, "it has no valid plan.id and execution_id")
    return ids
