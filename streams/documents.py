"""Finds the submissions in a file: one a line, or laid out over many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from schemas.decode_error import DecodeError
from schemas.json_scan import raw, read_whole, skip_space, text_of

LOOKED_AT = 2
"""Lines by which the layout is told: the first may be the one that is broken."""


@dataclass(frozen=True, slots=True)
class Document:
    """What may be a submission, its bytes as they stand in the file."""

    line: int
    """Where it begins, from 1."""
    value: bytes
    written: Document | None = None
    """How it stands in the file, when this one has more filled in."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The ids of the steps that were given names, by name."""

    def line_of(self, position: int | None) -> int:
        """Find the file's line that a position in the bytes is on."""
        return self.line + self.value.count(b"\n", 0, position or 0)


def documents(lines: Iterable[bytes]) -> Iterator[Document]:
    """Split a file into its submissions.

    If one of the first two lines is whole in itself, every line is a submission, handed
    on as soon as it is read, so that a pipe can feed us for ever. If not, all is read
    first: one document after the other, each over as many lines as it takes. What is no
    JSON is handed on too, for whoever reads it to say so.
    """
    rest = iter(lines)
    head: list[bytes] = []
    for line in rest:
        head.append(line)
        if _is_whole(line):
            yield from _one_a_line(chain(head, rest))
            return
        if sum(1 for each in head if each.strip()) == LOOKED_AT:
            break
    yield from _laid_out(b"".join(chain(head, rest)))


def _one_a_line(lines: Iterable[bytes]) -> Iterator[Document]:
    for number, line in enumerate(lines, start=1):
        if stripped := line.strip():
            yield Document(number, stripped)


def _laid_out(data: bytes) -> Iterator[Document]:
    """Yield one document after the other, up to the first that is no JSON."""
    try:
        text = text_of(data)
    except DecodeError:
        yield Document(1, data)
        return
    start = skip_space(text, 0)
    while start < len(text):
        end = _end(text, start)
        line = text.count("\n", 0, start) + 1
        yield Document(line, text[start:end].encode())
        start = skip_space(text, end)


def _end(text: str, start: int) -> int:
    """Find where a value ends: that of the text, if it is no value."""
    try:
        return raw(text, start)[1]
    except (ValueError, RecursionError):
        return len(text)


def _is_whole(line: bytes) -> bool:
    if not line.lstrip().startswith(b"{"):
        return False
    try:
        read_whole(text_of(line), raw)
    except DecodeError:
        return False
    return True
