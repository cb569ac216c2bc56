"""Reads the files that commands are given."""

import asyncio
import contextlib
import io
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from streams.documents import Document, documents
from streams.exceptions import FileUnreadable

AHEAD = 100
"""Documents read ahead of those that are being submitted."""


@contextlib.contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open a file, or take stdin for `-`.

    Raises:
        FileUnreadable: It cannot be opened.
    """
    if file == "-":
        yield _stdin()
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 closed below
    except OSError as error:
        raise FileUnreadable(file, error.strerror or str(error)) from None
    with stream:
        yield stream


async def arriving(stream: BinaryIO) -> AsyncIterator[Document]:
    """Hand on a stream's documents as they come, without blocking the loop.

    The thread is a daemon: one that waits for a terminal's next line could not be ended
    otherwise, and Ctrl-C would seem to do nothing.
    """
    queue: asyncio.Queue[Document | BaseException | None] = asyncio.Queue(AHEAD)
    loop = asyncio.get_running_loop()

    def put(each: Document | BaseException | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(each), loop).result()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before us
            try:
                for document in documents(stream):
                    put(document)
                put(None)
            except OSError as error:
                put(FileUnreadable(stream.name, error.strerror or str(error)))

    threading.Thread(target=read, daemon=True, name="read input").start()
    while (each := await queue.get()) is not None:
        if isinstance(each, BaseException):
            raise each
        yield each


def _stdin() -> BinaryIO:
    """Open stdin once more.

    Python's own is locked while a thread waits for its next line, and Python, when it
    exits, dies of that lock.
    """
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except (OSError, io.UnsupportedOperation):
        return sys.stdin.buffer
