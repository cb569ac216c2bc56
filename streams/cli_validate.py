"""`planstream validate`: says what breaks the contract."""

import json

import typer

from streams.cli_input import opened
from streams.cli_output import ExitCode, complain
from streams.documents import documents
from streams.inspection import Inspected, filled, inspect
from streams.submissions import now_ms


def run(file: str, *, fill: bool, as_json: bool) -> int:
    """Inspect a file's submissions; return the exit code."""
    wrong = total = 0
    with opened(file) as stream:
        for document in documents(stream):
            inspected = inspect(filled(document, now_ms()) if fill else document)
            total += 1
            wrong += bool(inspected.problems)
            (_print_json if as_json else _print)(inspected)
    if total == 0:
        complain("there is no submission in it")
        return ExitCode.NOT_SUCCESS
    return ExitCode.NOT_SUCCESS if wrong else ExitCode.OK


def _print(inspected: Inspected) -> None:
    line = inspected.document.line
    complain(*(str(problem) for problem in inspected.problems))
    complain(*(f"line {line}: warning: {each}" for each in inspected.warnings))
    if not inspected.problems:
        plan = inspected.ids.plan_id if inspected.ids else "?"
        typer.echo(f"line {line}: plan {plan} is valid")


def _print_json(inspected: Inspected) -> None:
    facts = {
        "line": inspected.document.line,
        "plan_id": inspected.ids.plan_id if inspected.ids else None,
        "valid": not inspected.problems,
        "violations": [
            {"path": each.path, "code": each.code, "message": each.message}
            for each in inspected.problems
        ],
        "warnings": list(inspected.warnings),
    }
    typer.echo(json.dumps(facts, ensure_ascii=False))
