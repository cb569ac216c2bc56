"""Iterates over the tokens of JSON text, of any depth, without recursion.

Slower than the C scanner of `json`, so for the rare cases alone: saying where a fault
is, looking into text that nests too deep to be read, and indenting it for people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

# Possessive quantifiers: a string of megabytes leaves nothing to go back to.
_TOKEN = re.compile(
    r"""[ \t\n\r]*+
    ( "[^"\\]*+ (?: \\. [^"\\]*+ )*+"    # a string
    | [{}\[\],:]
    | [^ \t\n\r"{}\[\],:]++ )            # a number, or a word
    """,
    re.VERBOSE | re.DOTALL,
)
Path = tuple[str, ...]
"""The names of the members that lead to a value."""

_DEPTH_CHANGES = {"[": 1, "{": 1, "]": -1, "}": -1}
_CONSTANTS = frozenset({"NaN", "Infinity", "-Infinity"})


class Token(NamedTuple):
    """A piece of JSON text that is no white space."""

    text: str
    start: int
    """Its place in the text, in characters."""


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens up to the end, or up to where the text stops being JSON."""
    match = _TOKEN.match(text)
    while match:
        yield Token(match[1], match.start(1))
        match = _TOKEN.match(text, match.end())


def unquoted(token: str) -> str:
    """What a string token says; the token itself when it is broken."""
    try:
        return str(json.loads(token))
    except ValueError:
        return token


def first_fault(text: str) -> tuple[str, int] | None:
    """Find the first duplicate member name or NaN literal (R37), and its place."""
    objects: list[set[str]] = []
    last = Token("", 0)
    for token in tokens(text):
        if token.text in "[{":
            objects.append(set())
        elif token.text in "]}":
            objects = objects[:-1]
        elif token.text == ":" and objects:
            name = unquoted(last.text)
            if name in objects[-1]:
                return "a duplicate member name", last.start
            objects[-1].add(name)
        elif token.text in _CONSTANTS:
            return f"{token.text} is no JSON value", token.start
        last = token
    return None


def find_strings(text: str, *paths: Path) -> dict[Path, str]:
    """Find string members by their path of member names; the first of each counts.

    Looks at whatever is readable: the text may be cut off, or nested to any depth.
    """
    found: dict[Path, str] = {}
    for path, piece in _strings(text, max(map(len, paths))):
        if path in paths:
            found.setdefault(path, unquoted(piece))
        if len(found) == len(paths):
            break
    return found


def _strings(text: str, deepest: int) -> Iterator[tuple[Path, str]]:
    """Yield the string members of objects down to a depth."""
    names: dict[int, str] = {}
    depth = 0
    last = ""
    for piece, _ in tokens(text):
        depth += _DEPTH_CHANGES.get(piece, 0)
        if piece == ":":
            names[depth] = last
        elif last == ":" and piece.startswith('"') and depth <= deepest:
            levels = range(1, depth + 1)
            yield tuple(unquoted(names.get(level, "")) for level in levels), piece
        last = piece


def indented(text: str, step: str = "  ") -> str:
    """Lay JSON text out over lines; every number and string stays as it is written."""
    pieces: list[str] = []
    margin = "\n"
    last = ""
    for piece, _ in tokens(text):
        if piece in "]}":
            margin = margin[: -len(step)]
            if last not in "[{":
                pieces.append(margin)
        elif last and last in "[{,":
            pieces.append(margin)
        pieces.append(": " if piece == ":" else piece)
        if piece in "[{":
            margin += step
        last = piece
    return "".join(pieces)
