"""Prints results and dead letters, for people or for programs."""

import json
import sys
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from schemas.codec import to_json
from schemas.results import PlanResult
from streams.results import Rejected

MESSAGE_WIDTH = 160


class Printer:
    """Prints results and dead letters, for people or as JSON lines."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        # Without a terminal it writes plain text.
        self._console = Console(
            highlight=False, soft_wrap=True, emoji=False, markup=False
        )

    def record(self, text: str) -> None:
        """Print a line for a program, at once: a pipe would hold it back."""
        typer.echo(text)
        sys.stdout.flush()

    def submitted(self, plan_id: str, execution_id: str) -> None:
        """Print that a plan was taken by the broker."""
        self.record(f"submitted  {plan_id}  execution {execution_id}")

    def result(self, result: PlanResult) -> None:
        """Print a result."""
        if self._as_json:
            self.record(to_json(result))
        else:
            self._say(*_result_parts(result))

    def rejected(self, letter: Rejected) -> None:
        """Print a dead letter."""
        if self._as_json:
            self.record(_rejected_json(letter))
        else:
            what = f"{letter.plan_id}  {letter.reason}: {letter.detail}"
            where = f"{letter.topic}-{letter.partition}@{letter.offset}"
            self._say("rejected", "magenta", f"  {one_line(what)}  ({where})")

    def _say(self, head: str, style: str, rest: str) -> None:
        self._console.print(Text.assemble((head, style), rest))


_STYLES = {"success": "green", "partial": "yellow", "failure": "red"}


def _result_parts(result: PlanResult) -> tuple[str, str, str]:
    status = str(result.status)
    rest = (
        f"  {result.plan_id}  {result.steps_executed}/{result.steps_total} steps"
        f"  {result.duration_ms} ms"
    )
    if (error := result.error) is not None:
        rest += f"  {error.error_code}: {one_line(error.message)}"
        if error.step_id is not None:
            rest += f" (step {error.step_id})"
    return status, _STYLES[status], rest


def one_line(message: str) -> str:
    """Keep a message from breaking out of its line: it is a stranger's text."""
    shown = "".join(char if char.isprintable() else " " for char in message)
    return shown if len(shown) <= MESSAGE_WIDTH else f"{shown[:MESSAGE_WIDTH]} …"


def _rejected_json(letter: Rejected) -> str:
    facts: dict[str, Any] = {
        "rejected": letter.reason,
        "detail": letter.detail,
        "plan_id": letter.plan_id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": letter.timestamp,
    }
    return json.dumps(facts, ensure_ascii=False)
