import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("schemas", "agents", "streams", "benchmarks", "examples", "tools")

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

MAX_LINES = 400
"""A module that outgrows this is split by noun."""

MADE = {
    *(".git", ".venv", ".cache", "__pycache__", "dist", "htmlcov"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"),
    ".import_linter_cache",
}
"""What tools make; the files that we write lie elsewhere."""


def project_files() -> Iterator[Path]:
    """All files that belong to the project."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and not MADE.intersection(parts):
            yield path


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def headline(path: Path) -> str:
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.partition("\n")[0]


def test_modules_are_short() -> None:
    """The largest module decides how pleasant a project is to read."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in modules(*CODE)
    }
    too_long = {name: length for name, length in lengths.items() if length > MAX_LINES}

    assert len(lengths) > 20
    assert not too_long


def test_every_module_says_what_it_is() -> None:
    """In one line, which ends like a sentence."""
    headlines = {
        str(path.relative_to(ROOT)): headline(path)
        for path in modules("schemas", "agents", "streams")
    }
    wrong = [name for name, line in headlines.items() if not line.endswith((".", ":"))]

    assert not wrong


def test_every_test_says_what_it_shows() -> None:
    """A docstring, so that a failure can be read without the code."""
    silent = [
        f"{path.relative_to(ROOT)}: {function.name}"
        for path in modules("tests")
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, FUNCTIONS)
        and function.name.startswith("test_")
        and not ast.get_docstring(function)
    ]

    assert not silent


def test_no_two_tests_of_a_file_have_one_name() -> None:
    """The second would silently replace the first."""
    doubles = []
    for path in modules("tests"):
        body = ast.parse(path.read_text("utf-8")).body
        classes = [each.body for each in body if isinstance(each, ast.ClassDef)]
        for scope in (body, *classes):
            names = [each.name for each in scope if isinstance(each, FUNCTIONS)]
            doubles += [f"{path}: {name}" for name in names if names.count(name) > 1]

    assert not doubles


# Written so that the patterns do not find themselves.
UNWANTED = {
    "a path of one machine": r"(?<![\w.-])/(work|root|home|Users)/(?=\w)",
    "a package index": (
        r"pyp[i]\.org|pythonhoste[d]\.|repo1?\.mave[n]|registry\.(npm|yarn)"
        r"|crate[s]\.io|--(extra-)?inde[x]-url"
    ),
    "a merge conflict": r"^(<{7} |>{7} )",
    "a reminder without an owner": r"\b(FIXM[E]|XX[X]|HAC[K])\b",
}


@pytest.mark.parametrize("what", UNWANTED)
def test_no_file_contains(what: str) -> None:
    """The project works on any machine, with any mirror."""
    pattern = re.compile(UNWANTED[what], re.MULTILINE)
    found = []
    for path in project_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}: {hit[0]}" for hit in pattern.finditer(text)
        ]

    assert not found


def test_scripts_are_executable() -> None:
    """Those that are run by their names."""
    scripts = [path for path in project_files() if path.read_bytes()[:2] == b"#!"]

    assert scripts
    assert all(path.stat().st_mode & 0o111 for path in scripts)
