"""Draws a plan as a tree of text: one line a step, however its paths join."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streams.plan_graph import CriticalPath, Graph

SHOWN = 3
"""How many steps a line names before it counts the others."""
SHOWN_OF_PATH = 8
"""How many steps of a critical path are named, half of them from its end."""
CRITICAL = " *"


def tree(graph: Graph) -> Iterator[str]:
    """Yield the lines of the drawing.

    A step stands under the one that it depends on: on the next line of the same column
    after `↓` where that has no other dependants, else on a branch. One that depends on
    several stands under the first of them; the others refer to it. So there are at most
    two lines a step, and a column only for what branches.
    """
    yield _headline(graph)
    roots = [n for n, before in enumerate(graph.dependencies) if not before]
    seen = set(roots)
    todo = _branches(roots, "")
    while todo:
        number, mark, margin = todo.pop()
        yield mark + _step(graph, number)
        after = graph.dependants[number]
        fresh = [each for each in after if each not in seen]
        seen.update(fresh)
        if above := [each for each in after if each not in fresh]:
            yield f"{margin}{'│' if fresh else ' '} → {_listed(graph, above)}"
        if len(fresh) == 1:
            todo.append((fresh[0], f"{margin}↓ ", margin))
        else:
            todo += _branches(fresh, margin)
    yield from _summary(graph)


def printable(text: str) -> str:
    """The text, without what would move a terminal's cursor: it is a stranger's."""
    return "".join(each if each.isprintable() else "�" for each in text)


def _branches(numbers: Sequence[int], margin: str) -> list[tuple[int, str, str]]:
    """The steps of a fork with what stands before each, the last one first."""
    forks = [(number, f"{margin}├─ ", f"{margin}│  ") for number in numbers]
    forks[-1:] = [(number, f"{margin}└─ ", f"{margin}   ") for number in numbers[-1:]]
    return forks[::-1]


def _headline(graph: Graph) -> str:
    steps = len(graph.plan.steps)
    levels = max(graph.levels) + 1
    return f"{printable(graph.plan.name)}: {steps} steps, {levels} deep"


def _step(graph: Graph, number: int) -> str:
    step = graph.plan.steps[number]
    before = graph.dependencies[number]
    line = f"[{number}] {graph.labels[number]} {printable(step.action)}"
    if len(before) > 1:
        line += f" ← {_listed(graph, before)}"
    return line + (CRITICAL if number in graph.critical.steps else "")


def _listed(graph: Graph, numbers: Sequence[int]) -> str:
    named = ", ".join(f"[{n}] {graph.labels[n]}" for n in numbers[:SHOWN])
    more = len(numbers) - SHOWN
    return f"{named} and {more} more" if more > 0 else named


def _summary(graph: Graph) -> Iterator[str]:
    path = graph.critical
    yield (
        f"critical path (*), by {path.measure}: "
        f"{len(path.steps)} of {len(graph.plan.steps)} steps"
        + (f", {path.limit_ms} ms at most" if path.limit_ms else "")
        + f": {_chain(graph, path)}"
    )
    if estimate := graph.plan.estimated_duration_ms:
        yield (
            f"estimated_duration_ms of the whole plan: {estimate}, "
            f"of its timeout_ms {graph.plan.timeout_ms}"
        )


def _chain(graph: Graph, path: CriticalPath) -> str:
    labels = [graph.labels[number] for number in path.steps]
    if len(labels) > SHOWN_OF_PATH:
        half = SHOWN_OF_PATH // 2
        labels = [*labels[:half], "…", *labels[-half:]]
    return " → ".join(labels)
