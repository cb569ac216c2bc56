"""`planstream demo`: starts everything, and has plans measure the standard library."""

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from streams.broker import quieten
from streams.cli_output import ExitCode, complain
from streams.config import Settings
from streams.devkit import demo_handlers
from streams.devkit.demo_home import Home, home
from streams.devkit.demo_live import LiveScreen
from streams.devkit.demo_plans import DemoPlan, demo_plans
from streams.devkit.demo_progress import Tracked
from streams.devkit.demo_run import run_plans
from streams.devkit.demo_screen import JsonScreen, Screen
from streams.devkit.demo_system import Died, Site, installation, site
from streams.devkit.demo_text import shown
from streams.devkit.supervisor import NotReady

TITLE = "planstream demo: plans that measure Python's own standard library"


def run(
    settings: Settings, reports: Path | None = None, *, as_json: bool = False
) -> ExitCode:
    """Run the demo; leaves nothing behind but the reports.

    Args:
        settings: A broker that they name is used; else one is started.
        reports: Where the reports go; `planstream-demo` when None.
        as_json: Print the plans' ends as JSON lines, and nothing else.

    Returns:
        OK when every plan ended as it should, else NOT_SUCCESS.

    Raises:
        BrokerNotStarted: The embedded broker does not start.
        BrokerUnreachable: The named broker does not answer.
        TopicsDoNotFit: The broker refuses to create the topics.
        FileUnreadable: The reports' directory cannot be written to.
        KeyboardInterrupt: Interrupted; everything has been stopped.
    """
    quieten()
    began = time.monotonic()
    plans = demo_plans()
    try:
        with _interruptible(), home(reports) as here:
            here.prepare(plans)
            tracked = _run(settings, here, plans, _screen(as_json))
    except (NotReady, Died) as error:
        complain(*str(error).splitlines())
        return ExitCode.NOT_SUCCESS
    except KeyboardInterrupt:
        complain("interrupted; everything has been stopped")
        raise
    if surprises := _surprises(tracked):
        complain(*surprises)
        return ExitCode.NOT_SUCCESS
    if not as_json:
        _summarize(settings, here, time.monotonic() - began)
    return ExitCode.OK


def _run(
    settings: Settings, here: Home, plans: Sequence[DemoPlan], screen: Screen
) -> list[Tracked]:
    screen.say(TITLE, "")
    with screen, site(settings, screen) as place:
        return asyncio.run(_run_on(place, here, plans, screen))


async def _run_on(
    place: Site, here: Home, plans: Sequence[DemoPlan], screen: Screen
) -> list[Tracked]:
    async with installation(place, screen) as system:
        tracked = await run_plans(system, here, plans, screen)
        screen.all_ended(tracked)
        if not all(plan.is_over for plan in tracked):
            complain(*system.last_words())
    return tracked


def _screen(as_json: bool) -> Screen:
    if as_json:
        return JsonScreen()
    live = LiveScreen()
    if live.console.is_terminal and not live.console.is_dumb_terminal:
        return live
    return Screen()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Have SIGTERM do what Ctrl-C does: stop everything, in order."""

    def interrupt(_number: int, _frame: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    # A shell that starts this in the background has it ignored.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, ignored)


def _surprises(tracked: Sequence[Tracked]) -> list[str]:
    found = [(plan.name, plan.surprise) for plan in tracked]
    return [f"the plan {name} {surprise}" for name, surprise in found if surprise]


def _summarize(settings: Settings, here: Home, took_s: float) -> None:
    borrowed = "broker" in settings.model_fields_set
    broker = f" --broker {settings.broker}" if borrowed else ""
    stopped = "The" if borrowed else "Kafka, the"
    program = _program()
    reports = shown(here.reports)
    Screen().say(
        "",
        f"All plans ended as they should; it took {took_s:.1f} s in all.",
        f"{stopped} coordinator and the worker have been stopped.",
        "",
        f"  reports    {reports}/*.md",
        f"  plans      {reports}/plans/*.json",
        f"  handlers   {shown(Path(demo_handlers.__file__))}",
        "",
        "Try next, in two terminals (Ctrl-C ends the first):",
        f"  {program} dev{broker} --handlers {demo_handlers.__name__}",
        f"  {program} submit{broker} --fill --watch {reports}/plans/json.json",
        f"  {program} watch{broker} --since 1h",
    )


def _program() -> str:
    """Say how to call planstream from here."""
    started = Path(sys.argv[0])
    if started.name != "planstream":
        return "python -m streams"
    found = shutil.which("planstream")
    if found is not None and Path(found).resolve() == started.resolve():
        return "planstream"
    return shown(started.absolute())
