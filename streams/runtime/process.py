"""Runs apps as a process: signals, logging, exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Any, Protocol

import faust
import uvloop

from streams.runtime.exits import die
from streams.runtime.producers import quieten_client_logs
from streams.runtime.recovery import HostedApp
from streams.runtime.standing import where_tasks_stand

GARBAGE = (5000, 20, 20)
"""When Python looks for objects that refer to each other in circles.

By default it does after 700 more objects, and often through all of them: with many
plans or attempts at once that was 9 % of a coordinator's time, 20 % of a worker's."""


class Stoppable(Protocol):
    """An app, as far as its end is concerned."""

    handed_over: asyncio.Event

    async def stop(self) -> None:
        """Stop it; returns when it has left."""


class Process(faust.Worker):
    """Faust's worker without its banner, with a second signal that stops at once.

    Args:
        app: what it runs; it is started last, and stopped first.
        others: apps beside it, in the same loop.
        options: of the worker.
    """

    def __init__(self, app: HostedApp, *others: HostedApp, **options: Any) -> None:
        super().__init__(
            app,
            *others,
            override_logging=False,
            redirect_stdouts=False,
            quiet=True,
            loglevel="info",
            **options,
        )
        self.spinner = None  # it would write cursor codes to stdout
        self._hosted = (app, *others)
        self._timer: threading.Timer | None = None

    async def on_stop(self) -> None:
        """Stop the apps in Faust's order; it would wait until each has left, too.

        After a crash all at once: no part goes on without the others.
        """
        self._limit_stop()
        if self.crashed:
            await asyncio.gather(*(stop_in_turn([app]) for app in self._hosted))
        else:
            await stop_in_turn(self._hosted)

    def _schedule_shutdown(self, signum: signal.Signals) -> None:
        if self._signal_stop_time:
            logging.getLogger("planstream").warning("second signal: stopping at once")
            os._exit(128 + signum)
        self._limit_stop()
        super()._schedule_shutdown(signum)

    def _limit_stop(self) -> None:
        if self._timer is not None:
            return
        limits_ms = [app.planstream.shutdown_timeout_ms for app in self._hosted]
        limit_s = max(limits_ms) / 1000
        # A thread's: whatever waits for a broker, or holds the loop, ends in time.
        self._timer = threading.Timer(limit_s, self._leave, [limit_s])
        self._timer.daemon = True
        self._timer.start()

    def _leave(self, limit_s: float) -> None:
        """End a stop that takes too long; all is well if nothing was left to do."""
        if not all(app.handed_over.is_set() for app in self._hosted):
            for line in where_tasks_stand(self.loop):
                logging.getLogger("planstream").error("waits: %s", line)
            die(f"the shutdown took longer than {limit_s:.0f} s")
        logging.getLogger("planstream").warning("left without telling the broker")
        logging.shutdown()
        os._exit(1 if self.crashed else 0)

    def on_worker_shutdown(self) -> None:
        """Stock shows the terminal's cursor again, which we have not hidden."""

    def _setproctitle(self, info: str, *, ident: str = "planstream") -> None:
        """Leave the command line as it is: operators look for it."""

    async def _sentinel_task(self) -> None:
        """Stock sleeps a second here."""

    def _gather_all(self) -> None:
        for task in asyncio.all_tasks(loop=self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0.01))


async def stop_in_turn(apps: Iterable[Stoppable]) -> None:
    """Stop app by app, each as soon as the one before has handed all over."""
    stopping = []
    for app in apps:
        stopping.append(asyncio.create_task(app.stop()))
        handed_over = asyncio.create_task(app.handed_over.wait())
        either = {stopping[-1], handed_over}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        handed_over.cancel()
    for error in await asyncio.gather(*stopping, return_exceptions=True):
        if isinstance(error, Exception):
            logging.getLogger("planstream").error("stopping failed", exc_info=error)


def run_apps(app: HostedApp, *others: HostedApp) -> int:
    """Run until a signal or a crash; returns the exit code (0 after a signal)."""
    set_up_logging(app.planstream.log_level)
    ease_collector()
    uvloop.install()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    code: object = 0
    try:
        Process(app, *others, loop=loop).execute_from_commandline()
    except SystemExit as leaving:
        code = leaving.code
    return code if isinstance(code, int) else 1


def ease_collector() -> None:
    """Look for garbage less often, and never among what is there from the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


def set_up_logging(level: str) -> None:
    """Log to stderr; Faust's and aiokafka's chatter only when it matters."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # Faust's services log under the modules of their classes, some of which are ours.
    for name in ("faust", "mode", "streams"):
        logging.getLogger(name).setLevel(logging.WARNING)
    quieten_client_logs()
