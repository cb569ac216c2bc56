"""Finds the lines of a submission's members in the file it was written in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from schemas.json_tokens import Token, tokens, unquoted
from schemas.schema_errors import path_of
from streams.documents import Document


def lines_of(document: Document, paths: Sequence[str]) -> dict[str, int]:
    """Find the line of each path; of a member that is missing, its nearest parent's.

    Args:
        document: A submission in JSON.
        paths: As violations have them, such as `plan.steps[3].action`.
    """
    if not paths:
        return {}
    written = document.written or document
    text = written.value.decode(errors="replace")
    wanted = {each for path in paths for each in _with_parents(path)}
    starts: dict[str, int] = {}
    for path, start in places(text):
        if path in wanted:
            starts.setdefault(path, start)
    first = document.line
    return {path: first + _newlines(text, _nearest(path, starts)) for path in paths}


def places(text: str) -> Iterator[tuple[str, int]]:
    """Yield the path of each value in JSON text, and where it, or its name, begins."""
    stack: list[str | int] = []
    last = Token("", 0)
    for token in tokens(text):
        if token.text == ":":
            stack[-1:] = [unquoted(last.text)]
            yield path_of(tuple(stack)), last.start
        elif _begins_item(token, last, stack):
            yield path_of(tuple(stack)), token.start
        _move(stack, token)
        last = token


def _begins_item(token: Token, last: Token, stack: Sequence[str | int]) -> bool:
    in_array = bool(stack) and isinstance(stack[-1], int)
    return in_array and last.text in "[," and token.text != "]"


def _move(stack: list[str | int], token: Token) -> None:
    """Follow the text into and out of objects and arrays, and on in arrays."""
    match token.text:
        case "{":
            stack.append("")
        case "[":
            stack.append(0)
        case "}" | "]" if stack:
            stack.pop()
        case "," if stack and isinstance(stack[-1], int):
            stack[-1] += 1


def _with_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path[: max(path.rfind("."), path.rfind("["), 0)]


def _nearest(path: str, starts: dict[str, int]) -> int:
    found = (starts[each] for each in _with_parents(path) if each in starts)
    return next(found, 0)


def _newlines(text: str, start: int) -> int:
    return text.count("\n", 0, start)
