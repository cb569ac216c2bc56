"""Runs the processes that call functions of a user's own."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from agents.handlers import HandlerError
from streams import apps
from streams.cli_output import ExitCode, complain
from streams.config import Settings


def run_worker(settings: Settings, handlers: Sequence[str]) -> int:
    """Run a step worker; return the exit code."""
    return _run(lambda: apps.run_worker(settings, handlers))


def run_combined(settings: Settings, handlers: Sequence[str]) -> int:
    """Run a coordinator and a step worker in one process; return the exit code."""
    return _run(lambda: apps.run_combined(settings, handlers))


def run_error_handler(settings: Settings) -> int:
    """Run an error handler; return the exit code."""
    return _run(lambda: apps.run_error_handler(settings))


def _run(process: Callable[[], int]) -> int:
    # A console script does not look for modules where it is started. Last, so that
    # nothing that lies there takes the place of ours.
    sys.path.append(str(Path.cwd()))
    try:
        return process()
    except HandlerError as error:
        complain(str(error))
        return ExitCode.USAGE
