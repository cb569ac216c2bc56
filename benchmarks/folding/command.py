"""The command `python -m benchmarks folding`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from benchmarks import machine
from benchmarks.folding.measures import bytes_a_plan, cpu_us_a_plan, cpu_us_a_return
from benchmarks.presenting import Files, JsonFile, MarkdownFile, Say, Shown, present
from benchmarks.shapes import Shape, parse
from benchmarks.tables import Section, short

IN_FLIGHT = (1000, 10_000)


def folding(
    *,
    shape: Annotated[str, typer.Option(help="chain-N or fan-N.")] = "chain-3",
    plans: Annotated[int, typer.Option(min=1, help="Open ones.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="Of each closed loop.")] = 15,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Measure what a partition's folds cost by themselves, without a broker."""
    try:
        chosen = parse(shape)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    async def measured(_: Say) -> Shown:
        return shown(measure(chosen, plans, rounds))

    present(measured, Files(json_file, markdown_file))


def measure(
    shape: Shape, plans: int, rounds: int, in_flight: Sequence[int] = IN_FLIGHT
) -> dict[str, float]:
    """Measures everything; fewer rounds where more plans are in flight."""
    found = {
        "open plan in use, bytes": bytes_a_plan(shape, plans, idle=False),
        "open plan when idle, bytes": bytes_a_plan(shape, plans, idle=True),
        "idle plan used again, µs": cpu_us_a_return(shape, plans),
    }
    for number in in_flight:
        name = f"plan from end to end, {number:,} in flight, µs"
        enough = max(rounds * in_flight[0] // number, 1)
        found[name] = cpu_us_a_plan(shape, number, enough)
    return found


def shown(found: Mapping[str, float]) -> Shown:
    """Gives the figures as people and programs want them."""
    facts = machine.facts()
    return Shown(
        title="Folds by themselves",
        facts=machine.lines(facts),
        sections=[
            Section(
                "Folds", ("what", "a plan"), [(n, short(v)) for n, v in found.items()]
            )
        ],
        document={"machine": facts, "measures": dict(found)},
        verdict="No client takes part: a coordinator needs more.",
        is_good=True,
    )
