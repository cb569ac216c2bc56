"""The command line: `python -m benchmarks`."""

from __future__ import annotations

import typer

from benchmarks.comparing.command import compare
from benchmarks.folding.command import folding
from benchmarks.large.command import large
from benchmarks.limits.command import limits
from benchmarks.overload.command import overload
from benchmarks.peers.command import peers
from benchmarks.scale.command import scale
from benchmarks.soak.command import soak
from benchmarks.speed import speed
from benchmarks.suite.command import everything
from benchmarks.takeover.command import takeover

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True
)
app.command("all")(everything)
app.command()(speed)
app.command()(soak)
app.command()(overload)
app.command()(compare)
app.command()(takeover)
app.command()(peers)
app.command()(folding)
app.command()(scale)
app.command()(limits)
app.command()(large)


@app.callback()
def benchmarks() -> None:
    """Measure planstream on this machine, with broker and load generator."""


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
