"""Ties processes to this one, so that none outlives it."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from streams.devkit import guard

_GUARD = str(Path(guard.__file__))


class CannotStart(OSError):
    """A command could not be started: there is no such program, for example."""


class Lifeline:
    """The two pipes to the guard of one process.

    Use: start `command(…)` with `pass_fds` and `start_new_session=True`, then call
    `attach`, which blocks for some 20 ms.
    """

    def __init__(self) -> None:
        guard_reads, self._signals = os.pipe()
        self._report, guard_reports = os.pipe()
        self.pass_fds = (guard_reads, guard_reports)
        self.pid = 0
        """The command's own process id, once attached; not the guard's."""

    def command(self, argv: Sequence[str], *, remove: Path | None = None) -> list[str]:
        """Wrap a command in its guard.

        Args:
            argv: The command to run.
            remove: A directory to remove should this process die before the command.
        """
        ends = [str(fd) for fd in self.pass_fds]
        # Isolated and without site: the guard needs neither, and starts faster.
        return [sys.executable, "-I", "-S", _GUARD, *ends, str(remove or ""), *argv]

    def attach(self) -> None:
        """Learn the command's process id from the started guard.

        Raises:
            CannotStart: The guard could not start the command.
        """
        for fd in self.pass_fds:
            os.close(fd)
        with os.fdopen(self._report, encoding="utf-8", errors="replace") as report:
            answer = report.readline().strip()
        if not answer.isdecimal():
            self.release()
            raise CannotStart(answer.removeprefix("!") or "its guard has died")
        self.pid = int(answer)

    def abandon(self) -> None:
        """Close everything; for when the guard itself could not be started."""
        for fd in (*self.pass_fds, self._report):
            os.close(fd)
        self.release()

    def send(self, number: int) -> None:
        """Send the command a signal; nothing happens when it has ended."""
        if self._signals < 0:
            return
        with suppress(BrokenPipeError):
            os.write(self._signals, bytes([number]))

    def release(self) -> None:
        """Let go: if the command still runs, it is killed."""
        # Taken before it is closed: several threads may see the end of a process.
        signals, self._signals = self._signals, -1
        if signals >= 0:
            os.close(signals)


class GuardedProcess:
    """A process, started at once, that dies with this one; its methods block."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        output: IO[bytes],
        env: Mapping[str, str] | None = None,
        remove: Path | None = None,
    ) -> None:
        """Start `argv`, its standard output and error going to `output`.

        Raises:
            CannotStart: There is no such program, or it may not be run.
        """
        self._line = Lifeline()
        try:
            self._guard = subprocess.Popen(  # noqa: S603 - the caller's own command
                self._line.command(argv, remove=remove),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                pass_fds=self._line.pass_fds,
                start_new_session=True,
            )
        except OSError:
            self._line.abandon()
            raise
        try:
            self._line.attach()
        except CannotStart:
            self._guard.wait()
            raise

    @property
    def pid(self) -> int:
        """The process id of the command itself."""
        return self._line.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, as `subprocess` says it; None while it runs."""
        return self._guard.poll()

    def send_signal(self, number: int) -> None:
        """Send the command a signal."""
        self._line.send(number)

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the end of the command and of all that it started.

        Raises:
            TimeoutError: It still runs after `timeout_s`.
        """
        try:
            code = self._guard.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"process {self.pid} has not ended") from error
        self._line.release()
        return code

    def kill(self) -> int:
        """End it by SIGKILL, as a power cut would."""
        self.send_signal(signal.SIGKILL)
        return self.wait()

    def stop(self, timeout_s: float) -> int:
        """Ask it to end, and kill it if it has not done so after `timeout_s`."""
        self.send_signal(signal.SIGTERM)
        try:
            return self.wait(timeout_s)
        except TimeoutError:
            return self.kill()
