"""Runs plans with the real coordinator and the real step engine, without a broker."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, Unpack

from agents.coordinator import CoordinatorTerms
from agents.discovery import discover
from agents.engine import EngineSettings
from agents.handlers import Handler, Registry, default_registry
from schemas.plan import Plan
from streams.submissions import Members, complete, write
from streams.testing.runs import PlanRun
from streams.testing.system import MemorySystem
from streams.testing.virtual_time import VirtualLoop

PLANS, OUTCOMES, COMMANDS = "plans", "step-outcomes", "commands"


class PlanTester:
    """Runs plans in virtual time: an hour's backoff is over at once.

        tester = PlanTester(["shop.handlers"])
        run = tester.run({"name": "buy", "steps": [...]}, {"region": "eu"})
        assert run.result.status == "success"

    What admits plans, folds outcomes and runs attempts is what runs in production. Two
    things differ: plain `def` handlers run in the test's own process and loop, so what
    they block for is real time, and no limit ends them; and the wall clock that
    handlers see with `time.time()` is the machine's, not the virtual one.

    Args:
        handlers: modules, or their names, whose actions are to be there; those that
            are imported already need not be named.
        actions: functions by action, in place of the registered ones or beside them.
        settings: of the step engine.
    """

    def __init__(
        self,
        handlers: Iterable[ModuleType | str] = (),
        actions: Mapping[str, Callable[..., Any]] | None = None,
        settings: EngineSettings | None = None,
    ) -> None:
        names = [each if isinstance(each, str) else each.__name__ for each in handlers]
        found = discover(names, group=None, registry=default_registry)
        wanted = {name: handler.function for name, handler in found.items()}
        self._registry = _in_this_process({**wanted, **(actions or {})})
        self._settings = settings or EngineSettings(is_watched=False)

    def run(
        self,
        plan: Mapping[str, Any] | Plan,
        environment: Mapping[str, Any] | None = None,
        **members: Unpack[Members],
    ) -> PlanRun:
        """Run a plan to its end, on a loop of its own.

        Args:
            plan: as `PlanClient.submit` takes it: ids and times may be missing, steps
                may have names for ids.
            environment: what the steps find, by name.
            **members: the other members of a submission.

        Raises:
            ValueError: the record was rejected: it has no ids that could be answered.
            NothingWillHappen: the plan waits for what will never come.
        """
        text = write(plan, environment or {}, **members)
        loop = VirtualLoop()
        completed = complete(text, loop.now_ms())
        system = MemorySystem(self._registry, _terms(), self._settings, loop)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(system.run(completed))


def _terms() -> CoordinatorTerms:
    return CoordinatorTerms(PLANS, OUTCOMES, COMMANDS, partition_of=lambda _key: 0)


def _in_this_process(functions: Mapping[str, Callable[..., Any]]) -> Registry:
    registry = Registry()
    for name, function in functions.items():
        is_async = Handler(name, function).is_async
        registry.add(name, function if is_async else _inline(function))
    registry.check()
    return registry


def _inline(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any) -> Any:
        return function(*args)

    return call
