"""Tells how a process is, in a file and over HTTP."""

from __future__ import annotations

from collections.abc import Callable

from streams.config import Settings
from streams.runtime import report
from streams.runtime.health_server import HealthServer
from streams.runtime.report import Report

PARTIAL = Report(True, False, ("a part of it has not begun, or has ended",), {})


class Telling:
    """Tells what the apps of a process report, as one report.

    Args:
        settings: of the process; they say where to tell it, if anywhere.
        apps: how many there are: it is not ready before all have begun.
    """

    def __init__(self, settings: Settings, apps: int = 1) -> None:
        self._apps = apps
        self._port = settings.health_port
        self._host = settings.health_host
        self._file = settings.health_file
        self._reports: list[Callable[[], Report]] = []
        self._server = HealthServer(self.report)
        self._is_listening = False

    def add(self, one: Callable[[], Report]) -> None:
        """Tell of an app from now on."""
        self._reports.append(one)

    async def listen(self) -> None:
        """Begin to answer, if there is a port; ends the process when it is taken."""
        if self._port and not self._is_listening:
            self._is_listening = True
            await self._server.start(self._host, self._port)

    async def remove(self, one: Callable[[], Report]) -> None:
        """Tell of it no more; after the last one all that was told is taken back."""
        self._reports = [each for each in self._reports if each != one]
        if self._reports:
            return
        await self._server.stop()
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def report(self) -> Report:
        """How the process is."""
        reports = [one() for one in self._reports]
        if len(reports) < self._apps:
            reports.append(PARTIAL)
        return report.together(reports)

    def write(self) -> None:
        """Write it down, if there is a file for that."""
        if self._file is not None:
            report.write(self.report(), self._file)
