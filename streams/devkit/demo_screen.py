"""Shows the demo line by line, or as JSON lines."""

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.text import Text

from streams.devkit.demo_progress import FailedAttempt, Tracked
from streams.devkit.demo_text import NAME_WIDTH, facts, heading, particulars


class Screen:
    """Writes line by line what has been done, and how each plan ends."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(
            highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; what has been written stays."""

    def say(self, *lines: str | Text) -> None:
        """Write some lines."""
        for line in lines:
            self.console.print(line)

    def doing(self, what: str) -> None:
        """Begin something that takes a moment."""
        del what
        self._began = time.monotonic()

    def done(self, what: str, found: str) -> None:
        """Tell what has come of it, and how long it took."""
        took = time.monotonic() - self._began
        self.say(f"  {what:<13}{found:<49} {took:4.1f} s")

    def submitted(self, plans: Sequence[Tracked]) -> None:
        """Tell that the plans are under way."""
        steps = sum(plan.total for plan in plans)
        self.say("", f"{len(plans)} plans with {steps} steps have been submitted.", "")

    def failed(self, plan: Tracked, failed: FailedAttempt) -> None:
        """Tell of an attempt of a step that did not complete."""
        name = f"{plan.name:<{NAME_WIDTH}}"
        what = f"attempt {failed.attempt} of {failed.step}: {failed.code}"
        self.say(Text.assemble(name, (what, "dim")))

    def ended(self, plan: Tracked) -> None:
        """Tell how a plan ended."""
        self.say(heading(plan))
        for line in particulars(plan):
            self.below(line)

    def below(self, line: Text) -> None:
        """Write a line that belongs to the one before."""
        self.say(Text(" " * NAME_WIDTH) + line)

    def all_ended(self, plans: Sequence[Tracked]) -> None:
        """Tell how the plans ended, unless that has been told."""


class JsonScreen(Screen):
    """Writes the ends of plans as JSON lines, and nothing else."""

    def __init__(self) -> None:
        # A first download shows there; programs read the other one.
        super().__init__(Console(stderr=True))

    def say(self, *lines: str | Text) -> None:
        """Write nothing: this is not for people."""

    def ended(self, plan: Tracked) -> None:
        """Tell how a plan ended."""
        typer.echo(json.dumps(facts(plan), ensure_ascii=False))
