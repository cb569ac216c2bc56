import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

CORE_MAY_IMPORT = {
    "__future__",
    "bisect",
    "collections",
    "contextlib",
    "copy",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "types",
    "typing",
}
"""Of the standard library: values and algorithms, nothing that looks at the world."""


def imported(path: Path) -> Iterator[str]:
    """Name the modules that a file imports, wherever in it."""
    for statement in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield statement.module or ""


def test_imports_go_one_way() -> None:
    """From streams to agents to its core to schemas; no broker below streams."""
    program = (
        "from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    run = [sys.executable, "-c", program, "--no-logo", "--no-cache"]
    answer = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "0 broken" in answer.stdout


def test_the_core_imports_values_only() -> None:
    """Neither the rest of `agents` nor a clock, a log, a loop or dice."""
    modules = list((ROOT / "agents" / "core").rglob("*.py"))
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules
        for name in imported(path)
        if name.partition(".")[0] not in CORE_MAY_IMPORT
        and not name.startswith(("agents.core", "schemas"))
    ]

    assert modules
    assert not wrong


def test_nothing_imports_the_tests() -> None:
    """What is installed works without them."""
    wrong = [
        path
        for package in ("schemas", "agents", "streams", "benchmarks", "examples")
        for path in (ROOT / package).rglob("*.py")
        if any(name.partition(".")[0] == "tests" for name in imported(path))
    ]

    assert not wrong
