"""The command `python -m benchmarks compare`."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Annotated

import typer

from benchmarks import machine
from benchmarks.comparing.pairs import Pair
from benchmarks.comparing.run import Options, Report, run
from benchmarks.presenting import (
    Files,
    JsonFile,
    MarkdownFile,
    Partitions,
    Say,
    Shown,
    present,
)
from benchmarks.tables import Row, Section
from streams.config import Settings
from streams.exceptions import SettingsError

GIVEN = ("broker", "prefix", "data_dir")
"""Every run has its own."""


def compare(  # noqa: PLR0913 - the options are the interface
    base: Annotated[str, typer.Argument(help="A commit, branch or tag.")],
    candidate: Annotated[str, typer.Argument(help="The other one.")] = "HEAD",
    *,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 5,
    shape: Annotated[
        list[str] | None, typer.Option(help="chain-N or fan-N; repeatable.")
    ] = None,
    in_flight: Annotated[
        list[int] | None, typer.Option(min=1, help="Plans in flight; repeatable.")
    ] = None,
    duration: Annotated[float, typer.Option(min=0.1, help="Seconds that count.")] = 5.0,
    partitions: Partitions = None,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds of load before everything.")
    ] = 5.0,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="With compiled folds, both.")
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE, of the second one alone; repeatable."),
    ] = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Compare two commits on this machine in one run, by turns (ABAB).

    With --setting the second one has other settings; then it may be the same commit.
    Each runs in a git worktree of its own, under the benchmarks of this tree. Exits
    with 1 when a plan did not end in one success, with 2 without figures.
    """
    speed = ["--duration", f"{duration}", "--warm-up", "1", "--settle", f"{settle}"]
    for each in shape or ["chain-3"]:
        speed += ["--shape", each]
    for number in in_flight or [1, 1000]:
        speed += ["--in-flight", f"{number}"]
    if partitions is not None:
        speed += ["--partitions", f"{partitions}"]
    settings = _settings(setting or (), {"partitions"} if partitions else set())
    options = Options(base, candidate, rounds, speed, compiled, settings)

    async def measure(say: Say) -> Shown:
        return shown(await run(options, say))

    present(measure, Files(json_file, markdown_file))


def _settings(texts: Sequence[str], taken: Set[str]) -> dict[str, str]:
    """Reads settings; values that no process would take are refused here already."""
    settings = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or name not in Settings.model_fields:
            raise typer.BadParameter(f"{text!r} is no setting: write it as name=value")
        if name in GIVEN or name in taken:
            raise typer.BadParameter(f"{name} is given to both already")
        settings[name] = value
    try:
        Settings.load(**settings)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None
    return settings


def shown(report: Report) -> Shown:
    """Gives the report as people and programs want it."""
    base, candidate = report.sides
    columns = ("measure", base, candidate, "ratio", "least", "most", "verdict")
    return Shown(
        title=f"{base} against {candidate}",
        facts=[
            *machine.lines(report.machine),
            f"{report.rounds} rounds by turns; ratios are {candidate} / {base}",
            "A difference is one that every round has",
        ],
        sections=[Section("Measures", columns, [_row(each) for each in report.pairs])],
        document={
            "machine": dict(report.machine),
            "sides": list(report.sides),
            "rounds": report.rounds,
            "pairs": [each.to_dict() for each in report.pairs],
            "raw": [list(each) for each in report.raw],
        },
        verdict=f"Runs in which a plan did not end in one success: {report.wrong}",
        is_good=report.wrong == 0,
    )


def _row(pair: Pair) -> Row:
    values = (pair.base, pair.candidate)
    ratios = (pair.ratio, pair.least, pair.most)
    return (
        pair.measure,
        *(f"{value:,.4g}" for value in values),
        *(f"{ratio:.3f}" for ratio in ratios),
        pair.verdict,
    )
