"""`planstream watch`: prints results as they come."""

import asyncio
import re
from dataclasses import dataclass

from schemas.codec import DecodeError
from schemas.results import Status
from schemas.validation import is_uuid4
from streams.bootstrap import require
from streams.cli_loop import run_async
from streams.cli_output import ExitCode, complain, worst
from streams.cli_printing import Printer
from streams.client import PlanClient
from streams.config import Settings
from streams.exceptions import PlanRejected, ResultTimeout, SettingsError
from streams.results import Received, ResultStream
from streams.submissions import now_ms
from streams.topics import Topics

_SPAN = re.compile(r"([0-9]+)(s|m|h|d)")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class Watch:
    """What to watch, and how."""

    plan_ids: list[str]
    since: str | None
    limit: int | None
    rejected: bool
    timeout: float | None
    as_json: bool


def run(settings: Settings, how: Watch) -> int:
    """Print results; return the exit code."""
    since = instant(how.since, now_ms())
    if wrong := [each for each in how.plan_ids if not is_uuid4(each)]:
        raise SettingsError([f"{each!r} is no plan id" for each in wrong])
    if how.plan_ids:
        return run_async(_watch_plans(settings, how, since))
    return run_async(_watch_all(settings, how, since))


def instant(text: str | None, now: int) -> int | None:
    """Read `start`, a span before now, or Unix ms.

    Raises:
        SettingsError: It is none of these.
    """
    if text is None:
        return None
    if text == "start":
        return 0
    if match := _SPAN.fullmatch(text):
        return now - int(match[1]) * _UNIT_MS[match[2]]
    if text.isascii() and text.isdigit():
        return int(text)
    message = f"--since: {text!r} is neither `start`, nor a span like 10m, nor Unix ms"
    raise SettingsError([message])


async def _watch_plans(settings: Settings, how: Watch, since: int | None) -> ExitCode:
    printer = Printer(as_json=how.as_json)
    async with PlanClient(settings) as client:

        async def one(plan_id: str) -> ExitCode:
            try:
                result = await client.result(plan_id, how.timeout, since=since)
            except (ResultTimeout, PlanRejected) as error:
                complain(str(error))
                timed_out = isinstance(error, ResultTimeout)
                return ExitCode.NO_RESULT if timed_out else ExitCode.NOT_SUCCESS
            printer.result(result)
            success = result.status == Status.SUCCESS
            return ExitCode.OK if success else ExitCode.NOT_SUCCESS

        return worst(await asyncio.gather(*map(one, how.plan_ids)))


async def _watch_all(settings: Settings, how: Watch, since: int | None) -> ExitCode:
    printer = Printer(as_json=how.as_json)
    left = how.limit
    await require(settings, Topics.of(settings).of_client())
    async with ResultStream(settings, since=since, rejected=how.rejected) as results:
        while left is None or left > 0:
            try:
                async with asyncio.timeout(how.timeout):
                    shown = await _show_next(results, printer)
            except TimeoutError:
                complain(f"no result within {how.timeout:g} s")
                return ExitCode.NO_RESULT
            if left is not None:
                left -= shown
    return ExitCode.OK


async def _show_next(results: ResultStream, printer: Printer) -> int:
    """Print the next record; return how many results that were."""
    try:
        each = await anext(results)
    except DecodeError as error:
        complain(f"a record of the results is not readable: {error}")
        return 0
    if isinstance(each, Received):
        printer.result(each.result)
    else:
        printer.rejected(each)
    return 1
