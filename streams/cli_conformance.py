"""`planstream conformance`: works through the contract on a running system."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import typer
from rich.console import Console

from streams.broker import quieten
from streams.cli_output import ExitCode, complain
from streams.config import Settings
from streams.conformance.cases import Phase
from streams.conformance.report import lines_of, show
from streams.conformance.running import Suite, Verdict
from streams.conformance.suite.all import cases_of
from streams.conformance.system import (
    own_site,
    own_system,
    require_routes,
    workers_of,
)
from streams.devkit.demo_screen import Screen
from streams.devkit.supervisor import NotReady

COORDINATORS = 3
WORKERS = 3
"""Of a system of its own."""


def run(
    settings: Settings, rules: Sequence[str], workers: int | None, *, as_json: bool
) -> ExitCode:
    """Run the cases; return whether all have passed.

    Args:
        settings: A broker that they name has the installation to be looked at; else
            one is started, with a system of its own.
        rules: Run the cases of these alone; all when there are none.
        workers: Step workers of our own in somebody's installation; 0 when its own
            serve our handlers.
        as_json: Print a JSON line for each case, and nothing else.

    Raises:
        BrokerNotStarted: The embedded broker does not start.
        BrokerUnreachable: The named broker does not answer.
        TopicsDoNotFit: The installation has not all topics that are needed.
        SettingsError: It does not route our actions, or no case is about the rules.
    """
    quieten()
    screen = Screen(Console(stderr=as_json, highlight=False, soft_wrap=True))
    try:
        if "broker" in settings.model_fields_set:
            require_routes(settings)
            count = 1 if workers is None else workers
            verdicts = asyncio.run(_on_installation(settings, rules, count))
        else:
            verdicts = _on_own(settings, rules, workers or WORKERS, screen)
    except NotReady as error:
        complain(*str(error).splitlines())
        return ExitCode.NOT_SUCCESS
    _print(verdicts, as_json)
    passed = all(each.has_passed for each in verdicts)
    return ExitCode.OK if passed else ExitCode.NOT_SUCCESS


def _print(verdicts: Sequence[Verdict], as_json: bool) -> None:
    if not as_json:
        console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        show(verdicts, console)
        return
    for line in lines_of(verdicts):
        typer.echo(line)


def _on_own(
    settings: Settings, rules: Sequence[str], workers: int, screen: Screen
) -> list[Verdict]:
    async def scenario() -> list[Verdict]:
        system = own_system(place, screen, coordinators=COORDINATORS, workers=workers)
        async with system, Suite(place.settings) as suite:
            cases = cases_of(place.settings, rules)
            screen.say("", f"{len(cases)} cases", "")
            return await suite.run(cases)

    with screen, own_site(settings, screen) as place:
        return asyncio.run(scenario())


async def _on_installation(
    settings: Settings, rules: Sequence[str], workers: int
) -> list[Verdict]:
    cases = cases_of(settings, rules)
    if not workers:  # theirs are not ours to take down
        cases = [each for each in cases if each.phase is not Phase.HARM]
    async with workers_of(settings, workers), Suite(settings) as suite:
        return await suite.run(cases)
