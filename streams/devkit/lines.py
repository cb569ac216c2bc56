"""Takes the output of processes apart, and puts its lines somewhere."""

import codecs
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

MAX_LINE = 100_000
"""Characters; a longer line, or a program that writes no line ends, comes in parts."""

Sink = Callable[[str, str], None]
"""Takes a process's name, and one line of its output without the line's end."""


class Lines:
    """Cuts bytes, as they come, into lines of text."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._begun = ""

    def feed(self, data: bytes) -> list[str]:
        """Take more bytes; return the lines that are complete now."""
        *whole, self._begun = (self._begun + self._decode(data)).split("\n")
        if len(self._begun) > MAX_LINE:
            whole.append(self._begun)
            self._begun = ""
        return [line.removesuffix("\r") for line in whole]

    def rest(self) -> list[str]:
        """Return the last line, if the output ended without a line's end."""
        rest = self._begun + self._decode(b"", final=True)
        self._begun = ""
        return [rest] if rest else []


def prefixed(stream: TextIO | None = None) -> Sink:
    """Write `name | line` to a stream; standard output by default."""

    def sink(name: str, line: str) -> None:
        out = stream or sys.stdout
        out.write(f"{name:<14} | {line}\n")
        out.flush()

    return sink


def log_files(directory: Path) -> Sink:
    """Append each process's lines to `NAME.log` in a directory, made if need be."""
    directory.mkdir(parents=True, exist_ok=True)

    def sink(name: str, line: str) -> None:
        with (directory / f"{name}.log").open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    return sink
