"""Runs one command, and ends it when whoever asked for it is gone.

This file is run as a script by `streams.devkit.lifeline`, as the parent of the command.
It imports nothing of planstream, so that it starts in a few milliseconds:

    guard.py LIFELINE REPORT REMOVE COMMAND...

`LIFELINE` is the reading end of a pipe whose writing end only the asking process has.
Every byte read from it is a signal to pass on to the command; its end means that the
asking process died, however that came about, so the command is killed with all that it
started, and the directory `REMOVE`, if any, is removed. The kernel's own "signal on
parent's death" would not do: it fires when the *thread* ends that forked.

`REPORT` is the writing end of a pipe that carries one line: the command's process id,
or `!` with the reason why it could not be started. The guard ends as the command does,
with the same exit code or by the same signal.
"""

import contextlib
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from types import FrameType

POLL_MS = 500
"""A child forked off the asking process may hold the lifeline open after its death, so
the parent's process id is looked at as well."""

CANNOT_START = 127


def _die_with_guard() -> None:
    """Have the kernel kill the command when this guard is killed (Linux only).

    The guard has one thread, so that the thread that forks ends with the process.
    """
    import ctypes  # noqa: PLC0415 - after the fork, and only where it is of use

    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _start(command: list[str], report: int) -> subprocess.Popen[bytes] | None:
    hook = _die_with_guard if sys.platform == "linux" else None
    try:
        child = subprocess.Popen(  # noqa: S603 - the caller's own command
            command,
            start_new_session=True,
            preexec_fn=hook,  # noqa: PLW1509 - one thread, nothing to deadlock on
        )
    except OSError as error:
        os.write(report, f"!{error}\n".encode())
        return None
    os.write(report, f"{child.pid}\n".encode())
    return child


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    """Signal the command and all its descendants that did not leave its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Look without reaping: until it is reaped its process id is nobody else's."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, child.pid, options) is not None


def _watch(child: subprocess.Popen[bytes], lifeline: int, wakeup: int) -> bool:
    """Pass signals on until the command ends (True) or the parent is gone (False)."""
    parent = os.getppid()
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while not _has_ended(child):
        ready = {fd for fd, _ in poll.poll(POLL_MS)}
        if wakeup in ready:
            os.read(wakeup, 512)
        if lifeline in ready:
            numbers = os.read(lifeline, 512)
            if not numbers:
                return False
            for number in numbers:
                child.send_signal(number)
        if os.getppid() != parent:
            return False
    return True


def _catch_signals(child: subprocess.Popen[bytes]) -> int:
    """Wake up when the command ends; pass a polite request to end on to it."""

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return reader


def _end_alike(code: int) -> int:
    """End by the signal that ended the command, without a core dump of the guard."""
    if code >= 0:
        return code
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return 128 - code


def main() -> int:
    """Run the command of the arguments to its end, or to the parent's."""
    lifeline, report = int(sys.argv[1]), int(sys.argv[2])
    remove, command = sys.argv[3], sys.argv[4:]
    child = _start(command, report)
    os.close(report)
    if child is None:
        return CANNOT_START
    asked_for = _watch(child, lifeline, _catch_signals(child))
    _signal_group(child, signal.SIGKILL)
    code = child.wait()
    if not asked_for and remove:
        shutil.rmtree(remove, ignore_errors=True)
    return _end_alike(code)


if __name__ == "__main__":
    sys.exit(main())
