"""The Faust applications, and running them as worker processes."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Sequence
from typing import Any

from faust.types import TP

from agents.coordinator import CoordinatorTerms
from agents.discovery import discover, find_callable
from agents.engine import EngineSettings, StepEngine
from agents.environments import ReadSubmission
from agents.error_calls import ErrorCalls
from agents.partitioner import partition_of
from agents.references import ReferenceTerms
from schemas.codec import Format
from streams.bootstrap import require
from streams.config import Settings
from streams.exceptions import SettingsError
from streams.runtime.coordinator import CoordinatorHost
from streams.runtime.error_handler import ErrorHandlerHost
from streams.runtime.exits import die
from streams.runtime.outcomes import OutcomeSender
from streams.runtime.process import run_app, say_ready
from streams.runtime.questions import CoordinatorAnswers, Desk, WorkerAnswers
from streams.runtime.recovery import HostedApp
from streams.runtime.worker import WorkerHost
from streams.slots import claim_slot
from streams.tables import StateTable, declare_state
from streams.topics import Topic, Topics

NEVER_S = 10 * 365 * 86_400.0


def create_coordinator(settings: Settings) -> HostedApp:
    """Build the coordinator: agents, the state table and its runtime."""
    topics = Topics.of(settings)
    app_id = settings.coordinator_app_id
    instance = settings.instance_id("coordinator", _slot(settings, app_id))
    app = _app(settings, app_id, instance, Table=StateTable)
    declare_state(app, settings, topics)
    host = CoordinatorHost(
        settings,
        topics,
        coordinator_terms(settings, topics),
        consumer=lambda: app.consumer,
        on_ready=functools.partial(_coordinator_ready, settings),
    )
    answers = CoordinatorAnswers(instance, host.live_tasks)
    app.serve(host, watch_loop=True, desk=Desk(settings, topics, answers))
    _agent(app, "admit_plans", topics.plans)
    _agent(app, "fold_outcomes", topics.step_outcomes)
    _agent(app, "fire_deadlines", topics.commands)
    return app


def create_worker(settings: Settings, handler_modules: Sequence[str]) -> HostedApp:
    """Build a step worker: an agent for each queue, and the engine behind them.

    Raises:
        HandlerError: a module or an entry point gives no usable handlers.
    """
    topics = Topics.of(settings)
    registry = discover(handler_modules)
    app_id = settings.worker_app_id
    instance = settings.instance_id("worker", _slot(settings, app_id))
    app = _app(settings, app_id, instance)

    def make_engine(sender: OutcomeSender, read: ReadSubmission) -> StepEngine:
        return StepEngine(
            registry,
            sender,
            _engine_settings(settings),
            worker=instance,
            read=read,
            submit=sender.submit,
            fatal=die,
            on_room=lambda: host.on_room(),  # noqa: PLW0108 - there is no host yet
        )

    host = WorkerHost(
        settings,
        topics,
        make_engine,
        consumer=lambda: app.consumer,
        on_ready=functools.partial(_worker_ready, settings, sorted(registry)),
    )
    answers = WorkerAnswers(instance, host.held)
    app.serve(host, watch_loop=False, desk=Desk(settings, topics, answers))
    for queue in settings.queues:
        _agent(app, f"run_steps.{queue}", topics.requests[queue])
    return app


def create_error_handler(settings: Settings) -> HostedApp:
    """Build an error handler: an agent for failures, and a lane for each partition.

    Raises:
        HandlerError: The settings' callable cannot be found, or is none.
        SettingsError: The settings name none.
    """
    path = settings.error_handler_callable
    if path is None:
        line = "PLANSTREAM_ERROR_HANDLER_CALLABLE: name a function, or use --callable"
        raise SettingsError([line])
    calls = ErrorCalls(
        find_callable(path), settings.error_handler_timeout_ms / 1000, die
    )
    topics = Topics.of(settings)
    app_id = settings.error_handler_app_id
    instance = settings.instance_id("error-handler", _slot(settings, app_id))
    app = _app(settings, app_id, instance)
    host = ErrorHandlerHost(
        settings,
        topics,
        calls,
        consumer=lambda: app.consumer,
        on_ready=functools.partial(_error_handler_ready, path),
    )
    app.serve(host, watch_loop=True)
    _agent(app, "handle_failures", topics.failure)
    return app


def run_coordinator(settings: Settings) -> int:
    """Run a coordinator until a signal; returns the process's exit code."""
    asyncio.run(require(settings))
    return run_app(create_coordinator(settings))


def run_worker(settings: Settings, handler_modules: Sequence[str]) -> int:
    """Run a step worker until a signal; returns the process's exit code."""
    needed = Topics.of(settings).of_worker(settings.queues)
    asyncio.run(require(settings, needed))
    return run_app(create_worker(settings, handler_modules))


def run_error_handler(settings: Settings) -> int:
    """Run an error handler until a signal; returns the process's exit code."""
    app = create_error_handler(settings)
    asyncio.run(require(settings, Topics.of(settings).of_error_handler()))
    return run_app(app)


def coordinator_terms(settings: Settings, topics: Topics) -> CoordinatorTerms:
    """What the coordinator's folds depend on, from the settings."""
    return CoordinatorTerms(
        plans_topic=topics.plans.name,
        outcomes_topic=topics.step_outcomes.name,
        commands_topic=topics.commands.name,
        partition_of=functools.partial(partition_of, partitions=settings.partitions),
        format=Format(settings.format),
        routes=settings.routes,
        max_submission_bytes=settings.max_submission_bytes,
        max_record_bytes=settings.max_record_bytes,
        max_request_bytes=settings.max_request_bytes,
        max_step_result_bytes=settings.max_step_result_bytes,
        max_plans_in_flight=settings.max_plans_in_flight,
        max_deliveries=settings.max_deliveries,
        registry_retention_ms=settings.registry_retention_ms,
        references=ReferenceTerms(
            settings.max_inline_environment_bytes, settings.retention_ms
        ),
    )


def _engine_settings(settings: Settings) -> EngineSettings:
    return EngineSettings(
        concurrency=settings.concurrency,
        processes=settings.processes,
        window=settings.window,
        max_result_bytes=settings.max_step_result_bytes,
        exit_when_frozen=True,
    )


def _app(settings: Settings, app_id: str, instance: str, **options: Any) -> HostedApp:
    return HostedApp(
        app_id,
        planstream=settings,
        broker=[f"kafka://{address}" for address in settings.broker.split(",")],
        store="memory://",
        topic_partitions=settings.partitions,
        key_serializer="raw",
        value_serializer="raw",
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=settings.heartbeat_interval_ms / 1000,
        broker_rebalance_timeout=max(20.0, settings.session_timeout_ms / 1000),
        broker_request_timeout=max(30.0, settings.session_timeout_ms / 1000),
        # A full window, or no partition at all, is nothing to fetch; aiokafka takes
        # that for a consumer that hangs, leaves the group, and waits for it to fetch
        # before it joins again, which it never will while the flow is stopped.
        broker_max_poll_interval=NEVER_S,
        broker_max_poll_records=4000,
        broker_check_crcs=False,
        consumer_max_fetch_size=max(1024**2, settings.max_request_bytes),
        # A stable id and address: takeover is then the restart, and a rolling restart
        # does not rebalance. Faust's assignor insists that the address stays.
        consumer_group_instance_id=instance if settings.static_membership else None,
        canonical_url=f"http://{instance}:6066",
        table_standby_replicas=0,
        stream_wait_empty=False,
        stream_buffer_maxsize=100_000,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
        datadir=str(settings.data_dir / instance),
        **options,
    )


def _slot(settings: Settings, app_id: str) -> str:
    return claim_slot(settings.data_dir, app_id)


def _agent(app: HostedApp, name: str, topic: Topic) -> None:
    """Declare an agent that hands the chunks of one topic to the app's host."""

    async def hand_over(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            try:
                app.host.deliver(message.generation_id, message.tp, event.value)
            except Exception as exc:  # noqa: BLE001 - Faust would pass the chunk over
                die(f"a chunk of {message.tp} could not be taken", exc)

    source = app.topic(topic.name, key_type=bytes, value_type=bytes)
    app.agent(source, name=name)(hand_over)


def _coordinator_ready(settings: Settings, partitions: Iterable[int]) -> None:
    owned = ", ".join(map(str, sorted(partitions))) or "none"
    say_ready(f"coordinator ready: partitions {owned} of {settings.partitions}")


def _worker_ready(
    settings: Settings, actions: Sequence[str], tps: Iterable[TP]
) -> None:
    queues = ", ".join(settings.queues)
    say_ready(
        f"worker ready: {len(actions)} actions ({', '.join(actions)}), "
        f"queues {queues}, {len(list(tps))} partitions"
    )


def _error_handler_ready(path: str, tps: Iterable[TP]) -> None:
    say_ready(f"error-handler ready: {path}, {len(list(tps))} partitions")
