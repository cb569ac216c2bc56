"""The jars of Apache Kafka, as locked in `kafka.lock.json`, in the user's cache."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from filelock import FileLock
from jgo.maven import MavenContext, PythonResolver

DOWNLOADS_AT_ONCE = 6
ATTEMPTS = 3
TIMEOUT_S = 60

_STAMP = "verified"
_STAGING = "staging-"

Advance = Callable[[int], None]
"""Is told how many more bytes have arrived; called from several threads."""


class JarError(Exception):
    """A jar could not be had, or is not the one that is locked."""


@dataclass(frozen=True)
class Jar:
    """One locked file."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """Its name in the cache, and on the class path."""
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def locked_jars() -> tuple[Jar, ...]:
    """Every jar on the broker's class path, by coordinates, size and SHA-256."""
    return tuple(Jar(**entry) for entry in json.loads(_lock_text())["jars"])


def _lock_text() -> str:
    return files("streams.devkit").joinpath("kafka.lock.json").read_text("utf-8")


def _stamp_text(jars: Sequence[Jar]) -> str:
    lines = [f"{jar.sha256}  {jar.filename}\n" for jar in jars]
    return "".join(lines)


def are_verified(directory: Path, jars: Sequence[Jar]) -> bool:
    """Tell, cheaply, whether all jars lie there, checked once and of the right size."""
    try:
        stamp = (directory / _STAMP).read_text("utf-8")
        sizes = [(directory / jar.filename).stat().st_size for jar in jars]
    except OSError:
        return False
    return stamp == _stamp_text(jars) and sizes == [jar.size for jar in jars]


def provide(
    directory: Path,
    jars: Sequence[Jar],
    advance: Advance | None = None,
) -> list[Path]:
    """Have all jars in the directory, fetching and checking what is missing.

    May be called by several processes at once: one works, the others wait. What an
    interrupted call has fetched completely is not fetched again.

    Returns:
        The class path, in the order of the lock.

    Raises:
        JarError: A jar cannot be fetched, or has another SHA-256 than the locked one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / "lock"):
        if not are_verified(directory, jars):
            _fetch_missing(directory, jars, advance or (lambda _count: None))
            (directory / _STAMP).write_text(_stamp_text(jars), "utf-8")
    return [directory / jar.filename for jar in jars]


def _fetch_missing(directory: Path, jars: Sequence[Jar], advance: Advance) -> None:
    for leftover in directory.glob(f"{_STAGING}*"):
        shutil.rmtree(leftover)
    missing = []
    for jar in jars:
        if _is_intact(directory / jar.filename, jar):
            advance(jar.size)
        else:
            missing.append(jar)
    with (
        tempfile.TemporaryDirectory(prefix=_STAGING, dir=directory) as staging,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        fetches = [
            pool.submit(_fetch, jar, Path(staging) / jar.filename, directory, advance)
            for jar in missing
        ]
        try:
            for fetch in as_completed(fetches):
                fetch.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(jar: Jar, staging: Path, directory: Path, advance: Advance) -> None:
    """Fetch one jar, check it, and only then put it into its place."""
    problem: Exception | None = None
    for attempt in range(ATTEMPTS):
        arrived = _Arrived(advance)
        try:
            path = _download(jar, staging / str(attempt), arrived)
        # What the resolver raises depends on the HTTP client beneath it.
        except Exception as error:  # noqa: BLE001
            problem = error
        else:
            arrived.complete(jar.size)
            if not _is_intact(path, jar):
                path.unlink()
                raise JarError(f"{jar} is not the locked one: its SHA-256 differs")
            path.replace(directory / jar.filename)
            return
        arrived.take_back()
    raise JarError(f"{jar} cannot be fetched: {problem}") from problem


def _download(jar: Jar, repository: Path, arrived: "_Arrived") -> Path:
    context = MavenContext(
        resolver=PythonResolver(progress_callback=arrived.callback),
        repo_cache=repository,
        timeout=TIMEOUT_S,
    )
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return Path(component.artifact().resolve())


class _Arrived:
    """Counts the bytes of one download, which may have to be done again."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._count = 0

    def _add(self, count: int) -> None:
        self._count += count
        self._advance(count)

    @contextmanager
    def callback(self, _filename: str, _size: int) -> Iterator[Advance]:
        """Count as the resolver wants to be counted for."""
        yield self._add

    def complete(self, size: int) -> None:
        """Count the rest: the resolver is silent about a download of unknown length."""
        self._add(size - self._count)

    def take_back(self) -> None:
        """Uncount what has to be fetched again."""
        self._add(-self._count)


def _is_intact(path: Path, jar: Jar) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False
