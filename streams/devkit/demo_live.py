"""Shows the demo on a terminal, as it goes."""

from collections.abc import Iterator, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from streams.devkit.demo_progress import FailedAttempt, Tracked
from streams.devkit.demo_screen import Screen
from streams.devkit.demo_text import NAME_WIDTH, STYLES

BAR_WIDTH = 20
NAMES_SHOWN = 3
FRAMES_PER_SECOND = 10


class LiveScreen(Screen):
    """Shows a table that moves while plans run, and at the end how they ended."""

    def __init__(self, console: Console | None = None) -> None:
        # It breaks long lines itself, to put what is below a line under it.
        super().__init__(console or Console(highlight=False, markup=False, emoji=False))
        self._spinner = Spinner("dots")
        self._plans: Sequence[Tracked] = ()
        self._live: Live | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take away what moves; what has been written stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def doing(self, what: str) -> None:
        """Show it with a spinner until something else is done."""
        super().doing(what)
        self._spinner.update(text=f"{what} …")
        # Not before: a first download has a display of its own.
        if self._live is None:
            self._live = Live(
                console=self.console,
                get_renderable=self.render,
                refresh_per_second=FRAMES_PER_SECOND,
                transient=True,
            )
            self._live.start()

    def submitted(self, plans: Sequence[Tracked]) -> None:
        """Show the plans from now on."""
        super().submitted(plans)
        self.doing("running plans")
        self._plans = plans

    def failed(self, plan: Tracked, failed: FailedAttempt) -> None:
        """Leave it to the table."""

    def ended(self, plan: Tracked) -> None:
        """Leave it to the table."""

    def all_ended(self, plans: Sequence[Tracked]) -> None:
        """Write in place of the table how the plans ended."""
        self._plans = ()
        for plan in plans:
            super().ended(plan)

    def below(self, line: Text) -> None:
        """Write a line, and what does not fit into it, under the one before."""
        self.console.print(Padding(line, (0, 0, 0, NAME_WIDTH)))

    def render(self) -> RenderableType:
        """Show the plans, and what is being done."""
        if not self._plans:
            return self._spinner
        table = Table.grid(padding=(0, 1))
        table.add_column(min_width=NAME_WIDTH - 1)
        table.add_column(width=BAR_WIDTH)
        table.add_column(justify="right", min_width=5)
        table.add_column(overflow="ellipsis", no_wrap=True)
        for plan in self._plans:
            table.add_row(*_cells(plan))
        return Group(table, "", self._spinner)


def _cells(plan: Tracked) -> Iterator[RenderableType]:
    bar = ProgressBar(plan.total, len(plan.completed), width=BAR_WIDTH)
    yield plan.name
    yield bar
    yield f"{len(plan.completed)}/{plan.total}"
    yield _now(plan)


def _now(plan: Tracked) -> Text:
    """Say what a plan is doing, or how it ended."""
    if (result := plan.result) is not None:
        took = f" {result.duration_ms / 1000:.2f} s"
        return Text.assemble((result.status, STYLES[result.status]), took)
    if plan.rejected is not None:
        return Text("rejected", "red")
    if plan.running:
        names = list(plan.running)
        more = f" and {len(names) - NAMES_SHOWN} more" * (len(names) > NAMES_SHOWN)
        return Text(", ".join(names[:NAMES_SHOWN]) + more)
    if plan.failed:
        last = plan.failed[-1]
        return Text(f"{last.step}, attempt {last.attempt}: {last.code}", "yellow")
    return Text("waiting" if not plan.completed else "", "dim")
