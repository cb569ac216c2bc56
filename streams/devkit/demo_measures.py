"""Measures Python source: lines, functions, classes, complexity."""

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DECISIONS: tuple[type[ast.AST], ...] = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.comprehension,
    ast.match_case,
)
"""What adds a way through a function, each by one."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MOST_KEPT = 20
"""Functions of each file that are kept by name: the most complex ones."""


class NotPython(Exception):
    """A file that Python cannot read as a program of its own version."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function, or method."""

    name: str
    """With those of the classes and functions around it."""
    file: str
    line: int
    complexity: int
    """Ways through it: 1, and 1 more for each decision (McCabe's number)."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What was counted, in one file or in many."""

    files: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    decisions: int = 0
    worst: tuple[Function, ...] = ()
    """The most complex functions, the worst first."""

    def __add__(self, other: "Measure") -> "Measure":
        """Count two together."""
        return Measure(
            files=self.files + other.files,
            lines=self.lines + other.lines,
            functions=self.functions + other.functions,
            classes=self.classes + other.classes,
            decisions=self.decisions + other.decisions,
            worst=_worst((*self.worst, *other.worst)),
        )

    @property
    def complexity(self) -> float:
        """The mean complexity of a function."""
        return 1 + self.decisions / self.functions if self.functions else 0.0


def measure(source: bytes, file: str) -> Measure:
    """Measure one file.

    Raises:
        NotPython: It cannot be parsed; the message says where, and why not.
    """
    tree = _parse(source, file)
    functions: list[Function] = []
    classes = 0
    for scope, node in _definitions(tree):
        if isinstance(node, ast.ClassDef):
            classes += 1
        else:
            found = Function(".".join(scope), file, node.lineno, 1 + _decisions(node))
            functions.append(found)
    return Measure(
        files=1,
        lines=len(source.splitlines()),
        functions=len(functions),
        classes=classes,
        decisions=sum(each.complexity - 1 for each in functions),
        worst=_worst(functions),
    )


def _parse(source: bytes, file: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # Old modules have odd escapes; that is not what is measured here.
            warnings.simplefilter("ignore")
            return ast.parse(source, file)
    except SyntaxError as error:
        where = f"{file}, line {error.lineno}"
        raise NotPython(f"{where}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotPython(f"{file}: {error}") from error


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _definitions(tree: ast.Module) -> Iterator[tuple[tuple[str, ...], Definition]]:
    """Find all functions and classes, each with the names that lead to it.

    With a list of what is left to visit: a recursion would be too deep for code that
    was generated.
    """
    left: list[tuple[tuple[str, ...], ast.AST]] = [((), tree)]
    while left:
        scope, node = left.pop()
        for child in ast.iter_child_nodes(node):
            inner = scope
            if isinstance(child, Definition):
                inner = (*scope, child.name)
                yield inner, child
            left.append((inner, child))


def _decisions(function: ast.AST) -> int:
    """Count a function's decisions, without those of functions within it."""
    count = 0
    left = list(ast.iter_child_nodes(function))
    while left:
        node = left.pop()
        if isinstance(node, FUNCTIONS):
            continue
        if isinstance(node, DECISIONS):
            count += 1
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        left.extend(ast.iter_child_nodes(node))
    return count


def _worst(functions: Iterable[Function]) -> tuple[Function, ...]:
    def order(function: Function) -> tuple[int, str, int]:
        return (-function.complexity, function.file, function.line)

    return tuple(sorted(functions, key=order)[:MOST_KEPT])
