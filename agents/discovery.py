"""Finds handlers: in modules by name, and behind entry points of installed packages."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import traceback
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from pathlib import Path
from typing import Any

from agents.failures import title_of
from agents.handlers import HandlerError, Registry, accepts, default_registry

GROUP = "planstream.actions"


def discover(
    modules: Iterable[str] = (),
    *,
    group: str | None = GROUP,
    registry: Registry = default_registry,
) -> Registry:
    """Imports modules that register handlers, and checks what they registered.

    Args:
        modules: Names of modules to import.
        group: Entry points to load, each a module (or anything in one) that registers
            handlers when it is imported; None for none.
        registry: Where the modules register.

    Raises:
        HandlerError: A module cannot be imported, an entry point cannot be loaded, an
            action has two handlers, or a handler cannot be one; one line says where.
    """
    for name in modules:
        _import(name)
    for entry in entry_points(group=group) if group else ():
        _load(entry)
    registry.check()
    return registry


def find_callable(path: str) -> Callable[..., Any]:
    """Imports a function that takes one argument, by `package.module:function`.

    Raises:
        HandlerError: The module cannot be imported, or holds no such function; one line
            says where.
    """
    module, _, name = path.partition(":")
    _import(module, "module")
    try:
        function = attrgetter(name)(sys.modules[module])
    except AttributeError:
        raise HandlerError(f"module {module!r} has no {name!r}") from None
    if not callable(function) or not accepts(function, 1):
        raise HandlerError(f"{path} must be a function of one argument")
    return function  # type: ignore[no-any-return] # of a stranger's module


def _import(name: str, kind: str = "handlers module") -> None:
    try:
        importlib.import_module(name)
    except HandlerError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _unloadable(f"{kind} {name!r} does not import", error) from error


def _load(entry: EntryPoint) -> None:
    try:
        entry.load()
    except HandlerError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        where = f" of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
        what = f"entry point {entry.name!r} = {entry.value!r}{where} does not load"
        raise _unloadable(what, error) from error


def _unloadable(what: str, error: BaseException) -> HandlerError:
    place = _place(error)
    return HandlerError(f"{what}: {title_of(error)}" + (f" ({place})" if place else ""))


def _place(error: BaseException) -> str:
    """The line that failed, below the import system."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not _is_machinery(frame.filename)
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _is_machinery(filename: str) -> bool:
    return Path(filename) in _MACHINERY


_MACHINERY = {
    Path(__file__),
    Path(importlib.__file__),
    Path(importlib.metadata.__file__),
}
