"""Runs a command's coroutine."""

from collections.abc import Coroutine
from typing import Any

import uvloop

from streams.broker import quieten
from streams.cli_output import ExitCode


def run_async(main: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    """Run to the end, on uvloop, and keep aiokafka's own lines off the terminal."""
    quieten()
    return uvloop.run(main)
