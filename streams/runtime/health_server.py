"""Answers `/live`, `/ready` and `/metrics` over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.runtime.exits import die
from streams.runtime.report import Report


class HealthServer:
    """A server for probes: 200 or 503, and the report as JSON; and for Prometheus.

    Args:
        report: tells how the process is.
    """

    def __init__(self, report: Callable[[], Report]) -> None:
        self._report = report
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Begin to listen; ends the process when the port is taken."""
        app = web.Application()
        app.router.add_get("/live", self._live)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", _metrics)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as exc:
            die(f"health cannot be told on {host}:{port}: {exc}")

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        report = self._report()
        return _response(report, good=report.live)

    async def _ready(self, _request: web.Request) -> web.Response:
        report = self._report()
        return _response(report, good=report.ready)


def _response(report: Report, *, good: bool) -> web.Response:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return web.Response(
        status=status, text=report.as_json() + "\n", content_type="application/json"
    )


async def _metrics(_request: web.Request) -> web.Response:
    headers = {"Content-Type": CONTENT_TYPE_LATEST}
    return web.Response(body=generate_latest(), headers=headers)
