"""Draws a plan as a Mermaid flow chart, for documents that show such."""

from __future__ import annotations

from collections.abc import Iterator

from streams.plan_graph import Graph


def mermaid(graph: Graph) -> Iterator[str]:
    """Yield the lines of the chart; the critical path has thick borders."""
    yield "flowchart TD"
    for number, step in enumerate(graph.plan.steps):
        name, action = _escaped(graph.labels[number]), _escaped(step.action)
        yield f'  s{number}["{name}<br/>{action}"]'
    for number, before in enumerate(graph.dependencies):
        for each in before:
            yield f"  s{each} --> s{number}"
    yield "  classDef critical stroke-width:3px"
    members = ",".join(f"s{number}" for number in graph.critical.steps)
    yield f"  class {members} critical"


def _escaped(text: str) -> str:
    """The text with all that means something to Mermaid, or to HTML, as entities."""
    return "".join(
        char if char.isalnum() or char in " -_./" else f"#{ord(char)};" for char in text
    )
