"""`planstream submit`: sends submissions, and waits for their results."""

import asyncio
import json
from dataclasses import dataclass

from schemas.results import Status
from streams.cli_input import arriving, opened
from streams.cli_loop import run_async
from streams.cli_output import ExitCode, complain, worst
from streams.cli_printing import Printer
from streams.client import PlanClient, Submitted
from streams.config import Settings
from streams.documents import Document
from streams.exceptions import (
    PlanRejected,
    ResultTimeout,
    SubmissionRefused,
)
from streams.inspection import filled, inspect
from streams.submissions import now_ms

AT_ONCE = 10_000
"""Plans under way: what comes after them waits in the file."""


@dataclass(frozen=True, slots=True)
class Submit:
    """What to submit, and how."""

    file: str
    fill: bool
    renew: bool
    validate: bool
    watch: bool
    timeout: float | None
    as_json: bool


def run(settings: Settings, how: Submit) -> int:
    """Submit a file's plans; return the exit code."""
    return run_async(_submit_all(settings, how))


async def _submit_all(settings: Settings, how: Submit) -> ExitCode:
    codes = []
    room = asyncio.Semaphore(AT_ONCE)
    with opened(how.file) as stream:
        async with PlanClient(settings, results=how.watch) as client:
            submitter = _Submitter(client, how)
            async with asyncio.TaskGroup() as group:
                async for document in arriving(stream):
                    ready = submitter.prepared(document)
                    if ready is None:
                        codes.append(ExitCode.NOT_SUCCESS)
                        continue
                    await room.acquire()
                    task = group.create_task(submitter.submit(ready))
                    task.add_done_callback(lambda _: room.release())
            codes.extend(submitter.codes)
    return worst(codes)


class _Submitter:
    """Submits documents, and prints what becomes of them."""

    def __init__(self, client: PlanClient, how: Submit) -> None:
        self.codes: set[ExitCode] = set()
        self._client = client
        self._how = how
        self._printer = Printer(as_json=how.as_json)

    def prepared(self, document: Document) -> Document | None:
        """Complete and inspect a document; None if it is not to be sent."""
        if self._how.fill or self._how.renew:
            document = filled(document, now_ms(), renew=self._how.renew)
        inspected = inspect(document)
        if inspected.ids is None and not inspected.problems:
            complain(f"line {document.line}: it has no ids: not sent")
            return None
        complain(*(str(problem) for problem in inspected.problems))
        if inspected.ids is None or (inspected.problems and self._how.validate):
            complain(f"line {document.line}: not sent")
            return None
        return document

    async def submit(self, document: Document) -> None:
        """Submit a document; with --watch, wait for its result."""
        try:
            submitted = await self._client.submit_bytes(document.value)
            if self._how.watch:
                await self._watch(submitted)
            else:
                self._print(document, submitted)
        except ResultTimeout as error:
            complain(str(error))
            self.codes.add(ExitCode.NO_RESULT)
        except (SubmissionRefused, PlanRejected) as error:
            complain(f"line {document.line}: {error}")
            self.codes.add(ExitCode.NOT_SUCCESS)

    async def _watch(self, submitted: Submitted) -> None:
        result = await self._client.result(submitted.plan_id, self._how.timeout)
        self._printer.result(result)
        if result.status != Status.SUCCESS:
            self.codes.add(ExitCode.NOT_SUCCESS)

    def _print(self, document: Document, submitted: Submitted) -> None:
        if not self._how.as_json:
            self._printer.submitted(submitted.plan_id, submitted.execution_id)
            return
        facts = {
            "line": document.line,
            "plan_id": submitted.plan_id,
            "execution_id": submitted.execution_id,
            "partition": submitted.partition,
            "offset": submitted.offset,
        }
        self._printer.record(json.dumps(facts))
