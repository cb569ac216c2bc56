"""`planstream validate`: says what breaks the contract, and draws what does not."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import typer

from streams.cli_input import opened
from streams.cli_output import ExitCode, complain
from streams.documents import documents
from streams.inspection import Inspected, filled, inspect
from streams.plan_graph import Graph, graph_of
from streams.plan_mermaid import mermaid
from streams.plan_tree import tree
from streams.submissions import now_ms

DRAWINGS = {"text": tree, "mermaid": mermaid}


@dataclass(frozen=True, slots=True)
class Validate:
    """What to look at, and what to show of it."""

    files: Sequence[str]
    fill: bool
    drawing: str | None
    """One of `DRAWINGS`."""
    as_json: bool


def run(how: Validate) -> int:
    """Inspect the files' submissions; return the exit code."""
    codes = [_run(file, how) for file in how.files]
    return max(codes)


def _run(file: str, how: Validate) -> ExitCode:
    where = f"{file}: " if len(how.files) > 1 else ""
    wrong = total = 0
    for inspected in _inspected(file, fill=how.fill):
        total += 1
        wrong += bool(inspected.problems)
        if how.as_json:
            typer.echo(json.dumps(_facts(file, inspected, how), ensure_ascii=False))
        else:
            _print(where, inspected, how)
    if total == 0:
        complain(f"{where}there is no submission in it")
    return ExitCode.NOT_SUCCESS if wrong or not total else ExitCode.OK


def _inspected(file: str, *, fill: bool) -> Iterator[Inspected]:
    with opened(file) as stream:
        for document in documents(stream):
            yield inspect(filled(document, now_ms()) if fill else document)


def _print(where: str, inspected: Inspected, how: Validate) -> None:
    complain(*(f"{where}{each}" for each in inspected.problems))
    complain(*(f"{where}{each}" for each in inspected.warnings))
    if (graph := _graph(inspected)) is None:
        return
    line = f"{where}line {inspected.document.line}: plan {graph.plan.id} is valid"
    # A chart is for a file or a document's fence: what else is said must not be in it.
    typer.echo(line, err=how.drawing == "mermaid")
    if how.drawing:
        typer.echo("\n".join(DRAWINGS[how.drawing](graph)))


def _facts(file: str, inspected: Inspected, how: Validate) -> dict[str, Any]:
    graph = _graph(inspected)
    return {
        "file": file,
        "line": inspected.document.line,
        "plan_id": inspected.ids.plan_id if inspected.ids else None,
        "valid": not inspected.problems,
        "violations": [asdict(each) for each in inspected.problems],
        "warnings": [asdict(each) for each in inspected.warnings],
        "graph": _graph_facts(graph, how.drawing) if graph else None,
    }


def _graph(inspected: Inspected) -> Graph | None:
    if inspected.plan is None:
        return None
    return graph_of(inspected.plan, inspected.document.names)


def _graph_facts(graph: Graph, drawing: str | None) -> dict[str, Any]:
    path = graph.critical
    facts: dict[str, Any] = {
        "steps": len(graph.plan.steps),
        "levels": max(graph.levels) + 1,
        "estimated_duration_ms": graph.plan.estimated_duration_ms,
        "critical_path": {
            "measure": path.measure,
            "limit_ms": path.limit_ms,
            "steps": [graph.plan.steps[number].id for number in path.steps],
        },
    }
    if drawing:
        facts["drawing"] = "\n".join(DRAWINGS[drawing](graph))
    return facts
