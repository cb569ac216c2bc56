"""Finds which tests and conformance cases are about which rules of the contract."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from streams.config import Settings
from streams.conformance.suite.all import cases_of

ROOT = Path(__file__).parent.parent
RULES = ROOT / "docs" / "rules.toml"

_CITATION = re.compile(
    r"§\d+(?:\.\d+)*|\bR\d{1,2}\b|\bRefusals\b|\bF\d{1,2}\b|\bU[1-4]\b"
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the contract: its number, what it says, where it lives."""

    id: str
    says: str
    lives: tuple[str, ...]
    missing: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of the audit: what was missing, when it is closed, what shows it."""

    id: str
    says: str
    closed: str
    rules: tuple[str, ...]
    open: str | None = None
    until: str | None = None


class Group(NamedTuple):
    """Rules that belong together."""

    title: str
    rules: tuple[Rule, ...]


class Test(NamedTuple):
    """A test: its file, from the root, and its name in there."""

    file: str
    name: str


def groups() -> tuple[Group, ...]:
    """The rules of docs/rules.toml, in order."""
    data: dict[str, Any] = tomllib.loads(RULES.read_text("utf-8"))
    return tuple(
        Group(
            group["title"],
            tuple(Rule(**{**rule, "lives": tuple(rule["lives"])}) for rule in rules),
        )
        for group in data["group"]
        for rules in [group["rule"]]
    )


def findings() -> tuple[Finding, ...]:
    """The findings of docs/rules.toml, in order."""
    data: dict[str, Any] = tomllib.loads(RULES.read_text("utf-8"))
    return tuple(
        Finding(**{**finding, "rules": tuple(finding["rules"])})
        for finding in data["finding"]
    )


@cache
def cases_by_rule() -> Mapping[str, tuple[str, ...]]:
    """The names of the conformance cases about each rule."""
    found: dict[str, list[str]] = defaultdict(list)
    for case in cases_of(Settings.model_construct()):
        for rule in case.rules:
            found[rule].append(case.name)
    return {rule: tuple(names) for rule, names in found.items()}


def tests_by_rule(rules: Iterable[str]) -> dict[str, list[Test]]:
    """The tests that cite each rule, in order of file and place."""
    known = set(rules)
    found: dict[str, list[Test]] = defaultdict(list)
    for test, cited in _citations():
        for rule in {rule_of(citation, known) for citation in cited} - {None}:
            found[str(rule)].append(test)
    return found


def rule_of(citation: str, known: set[str]) -> str | None:
    """The rule that a citation belongs to: §5.1.5 is of §5.1, §5.0 of §5."""
    while citation not in known:
        citation, dot, _ = citation.rpartition(".")
        if not dot:
            return None
    return citation


ABOUT_RULES = ("tests/architecture/test_docs.py", "tests/unit/conformance/")
"""Tests of this map and of the conformance suite: they name rules, and show none."""


def _citations() -> Iterator[tuple[Test, set[str]]]:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        file = path.relative_to(ROOT).as_posix()
        if not file.startswith(ABOUT_RULES):
            yield from _of_file(file, path.read_text("utf-8"))


def _of_file(file: str, source: str) -> Iterator[tuple[Test, set[str]]]:
    tree, lines = ast.parse(source), source.splitlines()
    tables = _tables(tree, lines)
    for function, prefix, inherited in _tests(tree):
        cited = inherited | set(_CITATION.findall(_text(function, lines)))
        for node in ast.walk(function):
            if isinstance(node, ast.Name):
                cited |= tables.get(node.id, set())
        if cited:
            yield Test(file, prefix + function.name), cited


def _tests(tree: ast.Module) -> Iterator[tuple[_Function, str, set[str]]]:
    """Each test function, with its class's name and what the class cites."""
    for node in tree.body:
        if isinstance(node, _Function) and node.name.startswith("test"):
            yield node, "", set()
        elif isinstance(node, ast.ClassDef):
            cited = set(_CITATION.findall(ast.get_docstring(node) or ""))
            for inner in ast.walk(node):
                if isinstance(inner, _Function) and inner.name.startswith("test"):
                    yield inner, f"{node.name}.", cited


def _tables(tree: ast.Module, lines: list[str]) -> Mapping[str, set[str]]:
    """What the cases cite that stand in tables beside the tests."""
    tables: dict[str, set[str]] = {}
    for node in tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        cited = set(_CITATION.findall(_text(node, lines))) if targets else set()
        tables |= {each.id: cited for each in targets if isinstance(each, ast.Name)}
    return tables


def _text(node: ast.stmt, lines: list[str]) -> str:
    """A statement's lines, decorators and comments included."""
    first = node.lineno
    if isinstance(node, _Function):
        first = min([first, *(each.lineno for each in node.decorator_list)])
    return "\n".join(lines[first - 1 : node.end_lineno])


def places(rule: Rule) -> Iterator[tuple[Path, str]]:
    """The files and names where a rule is said to live."""
    for place in rule.lives:
        file, _, names = place.partition(": ")
        for name in names.split(", "):
            yield ROOT / file, name


def defined(path: Path) -> set[str]:
    """The names that a module defines, those of its classes after a dot."""
    tree = ast.parse(path.read_text("utf-8"))
    found = set(_names(tree.body))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for name in _names(node.body)}
    return found


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
