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
from streams.runtime.delivery import hand_over
from streams.runtime.error_handler import ErrorHandlerHost
from streams.runtime.exits import die
from streams.runtime.outcomes import OutcomeSender
from streams.runtime.process import run_apps
from streams.runtime.questions import CoordinatorAnswers, Desk, WorkerAnswers
from streams.runtime.recovery import HostedApp
from streams.runtime.shared import Shared
from streams.runtime.worker import WorkerHost
from streams.slots import claim_slot
from streams.tables import StateTable, declare_state
from streams.topics import Topic, Topics

COORDINATOR, WORKER, ERROR_HANDLER = "coordinator", "worker", "error-handler"
COMBINED = "combined"
LAST_MS = 2000
"""What a coordinator needs to stop."""
NEVER_S = 10 * 365 * 86_400.0


def create_coordinator(settings: Settings, shared: Shared | None = None) -> HostedApp:
    """Build the coordinator: agents, the state table and its runtime.

    Args:
        settings: of the process.
        shared: what it shares with other apps of its process, if there are any.
    """
    shared = shared or Shared(settings, COORDINATOR)
    topics = Topics.of(settings)
    app_id = settings.coordinator_app_id
    instance = settings.instance_id(COORDINATOR, _slot(settings, app_id))
    app = _app(settings, app_id, instance, Table=StateTable)
    declare_state(app, settings, topics)
    host = CoordinatorHost(
        settings,
        topics,
        coordinator_terms(settings, topics),
        consumer=lambda: app.consumer,
        on_ready=functools.partial(_coordinator_ready, settings, shared),
    )
    answers = CoordinatorAnswers(instance, host.live_tasks)
    desk = Desk(settings, topics, answers)
    app.serve(host, shared.telling, watch=shared.watch, desk=desk)
    _agent(app, "admit_plans", topics.plans)
    _agent(app, "fold_outcomes", topics.step_outcomes)
    _agent(app, "fire_deadlines", topics.commands)
    return app


def create_worker(
    settings: Settings, handler_modules: Sequence[str], shared: Shared | None = None
) -> HostedApp:
    """Build a step worker: an agent for each queue, and the engine behind them.

    Args:
        settings: of the process.
        handler_modules: where the handlers are, beside those of installed packages.
        shared: what it shares with other apps of its process, if there are any.

    Raises:
        HandlerError: a module or an entry point gives no usable handlers.
    """
    shared = shared or Shared(settings, WORKER)
    topics = Topics.of(settings)
    registry = discover(handler_modules)
    app_id = settings.worker_app_id
    instance = settings.instance_id(WORKER, _slot(settings, app_id))
    app = _app(settings, app_id, instance)

    def make_engine(sender: OutcomeSender, read: ReadSubmission) -> StepEngine:
        engine = StepEngine(
            registry,
            sender,
            _engine_settings(settings, is_watched=not shared.is_combined),
            worker=instance,
            read=read,
            submit=sender.submit,
            fatal=die,
            on_room=lambda: host.on_room(),  # noqa: PLW0108 - there is no host yet
        )
        shared.naming = engine.name_of
        return engine

    host = WorkerHost(
        settings,
        topics,
        make_engine,
        consumer=lambda: app.consumer,
        on_ready=functools.partial(_worker_ready, settings, shared, sorted(registry)),
    )
    answers = WorkerAnswers(instance, host.held)
    desk = Desk(settings, topics, answers)
    app.serve(host, shared.telling, desk=desk)
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
    shared = Shared(settings, ERROR_HANDLER)
    topics = Topics.of(settings)
    app_id = settings.error_handler_app_id
    instance = settings.instance_id(ERROR_HANDLER, _slot(settings, app_id))
    app = _app(settings, app_id, instance)
    host = ErrorHandlerHost(
        settings,
        topics,
        calls,
        consumer=lambda: app.consumer,
        on_ready=functools.partial(_error_handler_ready, shared, path),
    )
    app.serve(host, shared.telling, watch=shared.watch)
    _agent(app, "handle_failures", topics.failure)
    return app


def run_coordinator(settings: Settings) -> int:
    """Run a coordinator until a signal; returns the process's exit code."""
    asyncio.run(require(settings))
    return run_apps(create_coordinator(settings))


def run_worker(settings: Settings, handler_modules: Sequence[str]) -> int:
    """Run a step worker until a signal; returns the process's exit code."""
    needed = Topics.of(settings).of_worker(settings.queues)
    asyncio.run(require(settings, needed))
    return run_apps(create_worker(settings, handler_modules))


def run_combined(settings: Settings, handler_modules: Sequence[str]) -> int:
    """Run a coordinator and a step worker in one process, until a signal.

    Each is a member of its own group. The coordinator begins first and goes on until
    the worker has told what it finished.
    """
    asyncio.run(require(settings))
    shared = Shared(settings, COMBINED, (COORDINATOR, WORKER))
    coordinator = create_coordinator(_part(settings, COORDINATOR), shared)
    worker = create_worker(_part(settings, WORKER), handler_modules, shared)
    return run_apps(worker, coordinator)


def run_error_handler(settings: Settings) -> int:
    """Run an error handler until a signal; returns the process's exit code."""
    app = create_error_handler(settings)
    asyncio.run(require(settings, Topics.of(settings).of_error_handler()))
    return run_apps(app)


def _part(settings: Settings, role: str) -> Settings:
    """Give the settings of a part of a combined process.

    An instance id names one member; what the worker needs to stop leaves the
    coordinator some time.
    """
    limit_ms = settings.shutdown_timeout_ms
    own: dict[str, Any] = {}
    if settings.group_instance_id is not None:
        own["group_instance_id"] = f"{settings.group_instance_id}-{role}"
    if role == WORKER:
        own["shutdown_timeout_ms"] = max(limit_ms - LAST_MS, limit_ms // 2)
    return settings.model_copy(update=own)


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


def _engine_settings(settings: Settings, *, is_watched: bool) -> EngineSettings:
    return EngineSettings(
        concurrency=settings.concurrency,
        processes=settings.processes,
        window=settings.window,
        max_result_bytes=settings.max_step_result_bytes,
        exit_when_frozen=True,
        is_watched=is_watched,
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

    async def agent(stream: Any) -> None:
        await hand_over(stream, app.host.deliver)

    source = app.topic(topic.name, key_type=bytes, value_type=bytes)
    app.agent(source, name=name)(agent)


def _coordinator_ready(
    settings: Settings, shared: Shared, partitions: Iterable[int]
) -> None:
    owned = ", ".join(map(str, sorted(partitions))) or "none"
    shared.say_ready(COORDINATOR, f"partitions {owned} of {settings.partitions}")


def _worker_ready(
    settings: Settings, shared: Shared, actions: Sequence[str], tps: Iterable[TP]
) -> None:
    queues = ", ".join(settings.queues)
    shared.say_ready(
        WORKER,
        f"{len(actions)} actions ({', '.join(actions)}), "
        f"queues {queues}, {len(list(tps))} partitions",
    )


def _error_handler_ready(shared: Shared, path: str, tps: Iterable[TP]) -> None:
    shared.say_ready(ERROR_HANDLER, f"{path}, {len(list(tps))} partitions")
