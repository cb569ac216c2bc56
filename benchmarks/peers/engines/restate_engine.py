"""Restate: its server on one node, and one Python process that serves the plans.

The server has its defaults. Hypercorn, which serves the worker, has the limits that
Restate's manual asks for: with its own, a connection carries 100 plans, and 1,000 of
them are its end.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.peers import plans
from benchmarks.peers.engine import Running, listening, processes
from streams.devkit.ports import free_ports
from streams.devkit.supervisor import Command

ROOT = Path(__file__).parents[3]
APP = "benchmarks.peers.engines.restate_app:app"
HYPERCORN = """\
h2_max_concurrent_streams = 2147483647
keep_alive_max_requests = 2147483647
keep_alive_timeout = 2147483647
"""
REGISTERED_WITHIN_S = 30
OK_BELOW = 300


@asynccontextmanager
async def running(config: str, folder: Path) -> AsyncIterator[Running]:
    """Starts the server with its defaults on an empty folder, and the worker."""
    ingress, admin, node, app = free_ports(4)
    base = folder / uuid.uuid4().hex
    base.mkdir(parents=True)
    limits = base / "hypercorn.toml"
    limits.write_text(HYPERCORN, encoding="utf-8")
    async with (
        processes(folder) as started,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=600),
        ) as http,
    ):
        server = started.start(
            Command(
                "restate-server",
                [os.environ["RESTATE_SERVER"]],
                _environment(base, ingress, admin, node),
                cwd=base,
            )
        )
        worker = started.start(
            Command(
                "restate-worker",
                _hypercorn(app, limits),
                {"BENCH_CONFIG": config},
                cwd=ROOT,
            )
        )
        worker_pid = await listening(worker, app)
        server_pid = await listening(server, admin)
        await listening(server, ingress)
        await _register(http, admin, app)

        async def execute(shape: str) -> Any:
            url = f"http://127.0.0.1:{ingress}/Plan/{uuid.uuid4().hex}/run"
            given = {"shape": shape, "payload": dict(plans.PAYLOAD)}
            async with http.post(url, json=given) as answer:
                answer.raise_for_status()
                return await answer.json()

        names = ("restate-sdk", "hypercorn")
        versions = {name: version(name) for name in names}
        groups = {"engine": [server_pid], "worker": [worker_pid]}
        versions["restate-server"] = os.environ["RESTATE_VERSION"]
        yield Running(execute, groups, versions)


def _environment(base: Path, ingress: int, admin: int, node: int) -> dict[str, str]:
    return {
        "RESTATE_BASE_DIR": str(base),
        "RESTATE_BIND_IP": "127.0.0.1",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_ADVERTISED_HOST": "127.0.0.1",
        "RESTATE_BIND_PORT": f"{node}",
        "RESTATE_NODE_NAME": "bench",
        "RESTATE_INGRESS__BIND_PORT": f"{ingress}",
        "RESTATE_ADMIN__BIND_PORT": f"{admin}",
        "RESTATE_ADMIN__DISABLE_WEB_UI": "true",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }


def _hypercorn(port: int, limits: Path) -> list[str]:
    options = ("--workers", "1", "--error-logfile", "-", "--log-level", "WARNING")
    bind = ("--config", str(limits), "--bind", f"127.0.0.1:{port}")
    return [sys.executable, "-m", "hypercorn", *bind, *options, APP]


async def _register(http: aiohttp.ClientSession, admin: int, app: int) -> None:
    """Tells the server where the worker is, as soon as it listens to that."""
    url, given = f"http://127.0.0.1:{admin}/deployments", f"http://127.0.0.1:{app}"
    text = ""
    for _ in range(REGISTERED_WITHIN_S):
        async with http.post(url, json={"uri": given}) as answer:
            text = await answer.text()
            if answer.status < OK_BELOW:
                return
        await asyncio.sleep(1)
    raise RuntimeError(text)
