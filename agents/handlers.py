"""Handlers: users' functions, and the registry that finds the one for an action."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from agents.context import StepContext
from agents.payloads import Reader, read_object, reader_of

RESERVED_ACTION = "execute_plan"
MAX_ACTION = 100

Function = TypeVar("Function", bound=Callable[..., Any])


class HandlerError(Exception):
    """Something is wrong with the handlers themselves; one line that says where."""


class Handler:
    """A user's function for one action.

    `async def` functions run on the worker's event loop. Plain `def` functions run in
    child processes, where they may block, and can be killed at their limit.
    """

    def __init__(self, action: str, function: Callable[..., Any]) -> None:
        self.action = action
        self.function = function
        self.is_async = is_async(function)

    @cached_property
    def place(self) -> str:
        """Where the function stands, for people."""
        code = inspect.unwrap(self.function).__code__
        return f"{self.name} ({_short(code.co_filename)}:{code.co_firstlineno})"

    @cached_property
    def code_place(self) -> tuple[str, int]:
        """Where the function stands, for comparing: a module may be imported twice."""
        code = inspect.unwrap(self.function).__code__
        return code.co_filename, code.co_firstlineno

    @property
    def name(self) -> str:
        """The function's name within its module."""
        return self.function.__qualname__

    @property
    def module(self) -> str:
        """The module that a child process imports to find the function."""
        return self.function.__module__

    @cached_property
    def reader(self) -> Reader | None:
        """Turns payload text into the second argument; None when there is none.

        Annotations are looked at late, when the module is complete.

        Raises:
            HandlerError: The annotation cannot be resolved, or fits no payload.
        """
        parameters = list(inspect.signature(self.function).parameters.values())
        if not accepts(self.function, 2):
            return None
        hints = self._hints()
        self._check_context(parameters[0].name, hints)
        if parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
            return read_object
        try:
            return reader_of(hints.get(parameters[1].name, Any))
        except TypeError as error:
            raise self.wrong(f"its payload annotation is unfit: {error}") from None

    def arguments(self, step: StepContext, payload: str) -> tuple[Any, ...]:
        """What the function is called with.

        Raises:
            StepUnfit: The payload does not fit the annotation.
        """
        reader = self.reader
        return (step,) if reader is None else (step, reader(payload))

    def prepare(self) -> None:
        """Raises HandlerError for annotations that fit no payload."""
        _ = self.reader

    def wrong(self, what: str) -> HandlerError:
        """The error that says what is wrong with this handler."""
        return HandlerError(f"handler {self.place} of action {self.action!r}: {what}")

    def check(self) -> None:
        """Raises HandlerError for what can be seen before the module is complete."""
        if not 1 <= len(self.action) <= MAX_ACTION:
            raise self.wrong(f"an action's name has 1 to {MAX_ACTION} characters")
        if self.action == RESERVED_ACTION:
            raise self.wrong("this action is built in and cannot be replaced")
        if not any(accepts(self.function, count) for count in (1, 2)):
            given = inspect.signature(self.function)
            raise self.wrong(f"it must take (step, payload) or (step), not {given}")
        if _is_generator(self.function):
            raise self.wrong("it yields; a handler returns its result once")
        if not self.is_async:
            self._check_importable()

    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(inspect.unwrap(self.function))
        except Exception as error:  # noqa: BLE001 (annotations are any expression)
            hint = f"its annotations cannot be resolved: {error}"
            raise self.wrong(f"{hint}; define them at the top of the module") from None

    def _check_context(self, name: str, hints: Mapping[str, Any]) -> None:
        """Finds swapped parameters before the first request does."""
        kind = hints.get(name, StepContext)
        if (
            isinstance(kind, type)
            and kind is not Any
            and not issubclass(StepContext, kind)
        ):
            raise self.wrong(f"its first parameter is the StepContext, not {name!r}")

    def _check_importable(self) -> None:
        if "<locals>" in self.name or self.module == "__main__":
            raise self.wrong(
                "a plain function runs in a child process, which must find it at the "
                "top of an importable module; move it there, or make it async"
            )


class Registry(Mapping[str, Handler]):
    """Which handler an action has.

    Most programs need none of their own: `agents.action` fills the default one.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def action(self, name: str) -> Callable[[Function], Function]:
        """Decorates the handler of an action; the function itself stays as it is.

            @action("charge-card")
            async def charge(step: StepContext, payload: Charge) -> dict[str, str]:
                ...

        The payload's annotation may be a pydantic model, a dataclass or `dict`; a
        payload that does not fit fails the step with `INVALID_PAYLOAD`. A handler that
        wants no payload takes the step alone. It returns any JSON value, a pydantic
        model, a dataclass or None, and fails its step by raising `ActionError`.

        `async def` handlers share the worker's event loop and must not block it. Plain
        `def` handlers may block: they run in child processes, and are killed at
        their limit.

        Raises:
            HandlerError: The action has a handler already, or the function cannot be
                one; the message names the place.
        """
        if not isinstance(name, str):
            raise HandlerError(f'write @action("its-name"), not @action, on {name!r}')

        def register(function: Function) -> Function:
            self.add(name, function)
            return function

        return register

    def add(self, name: str, function: Callable[..., Any]) -> Handler:
        """Registers a function for an action; see `action`."""
        if not inspect.isfunction(function):
            raise HandlerError(f"action {name!r}: {function!r} is no function")
        handler = Handler(name, function)
        handler.check()
        known = self._handlers.get(name)
        if known is not None and known.code_place != handler.code_place:
            both = f"{known.place} and {handler.place}"
            raise HandlerError(f"action {name!r} has two handlers: {both}")
        self._handlers[name] = handler
        return handler

    def check(self) -> None:
        """Raises HandlerError for annotations that fit no payload."""
        for handler in self._handlers.values():
            handler.prepare()

    def __getitem__(self, name: str) -> Handler:
        return self._handlers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a function is `async def`.

    Looks through wrappers that are no coroutine functions themselves.
    """
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        inspect.unwrap(function)
    )


def _is_generator(function: Callable[..., Any]) -> bool:
    inner = inspect.unwrap(function)
    return inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)


def accepts(function: Callable[..., Any], count: int) -> bool:
    """Whether a function can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):  # some of the interpreter's own have no signature
        return False
    return True


def _short(filename: str) -> str:
    """A path as people write it: from the working directory, if it is below."""
    path = Path(filename)
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return filename


default_registry = Registry()
action = default_registry.action
