import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.devkit import jars
from streams.devkit.cache import cache_directory
from streams.devkit.jars import Jar, JarError, are_verified, locked_jars, provide


def content(number: int) -> bytes:
    return f"the jar number {number}\n".encode() * 1000


def jar(number: int) -> Jar:
    data = content(number)
    digest = hashlib.sha256(data).hexdigest()
    return Jar("org.example", f"jar{number}", "1.0", len(data), digest)


ROOT = Path(__file__).parents[3]
THREE = tuple(jar(number) for number in (1, 2, 3))


class Repository:
    """Stands for Maven Central, which tests had better leave alone."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.failures = 0
        """How many downloads break off before one succeeds."""
        self.spoiled: set[str] = set()
        self.delay_s = 0.0
        self._lock = threading.Lock()

    def download(self, wanted: Jar, repository: Path, arrived: jars._Arrived) -> Path:
        """Do what the resolver does: make a file, and tell of its progress."""
        time.sleep(self.delay_s)
        with self._lock:
            failing, self.failures = self.failures > 0, self.failures - 1
            self.served.append(wanted.filename)
        repository.mkdir(parents=True)
        path = repository / wanted.filename
        data = content(int(wanted.artifact.removeprefix("jar")))
        if wanted.filename in self.spoiled:
            data = data.replace(b"jar", b"pot")
        with arrived.callback(wanted.filename, len(data)) as advance:
            advance(100)
            path.write_bytes(data[:100])
            if failing:
                raise ConnectionError("broken off")
            path.write_bytes(data)
        return path


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    stand_in = Repository()
    monkeypatch.setattr(jars, "_download", stand_in.download)
    return stand_in


def test_what_is_missing_is_fetched_once(
    repository: Repository, tmp_path: Path
) -> None:
    """Later calls find everything in its place."""
    cache = tmp_path / "new" / "cache"
    provide(cache, THREE)
    class_path = provide(cache, THREE)

    assert sorted(repository.served) == [each.filename for each in THREE]
    assert [path.read_bytes() for path in class_path] == [content(n) for n in (1, 2, 3)]


def test_progress_adds_up_to_the_total(repository: Repository, tmp_path: Path) -> None:
    """Also when a download had to be begun again."""
    repository.failures = 2
    counts: list[int] = []

    provide(tmp_path, THREE, counts.append)

    assert sum(counts) == sum(each.size for each in THREE)


def test_an_interrupted_download_is_done_again(
    repository: Repository, tmp_path: Path
) -> None:
    """What is complete already is not; leftovers go."""
    repository.failures = 1_000
    with pytest.raises(JarError, match="cannot be fetched: broken off"):
        provide(tmp_path, THREE)
    assert not are_verified(tmp_path, THREE)

    (tmp_path / "staging-of-a-killed-process" / "0").mkdir(parents=True)
    (tmp_path / THREE[0].filename).write_bytes(content(1))
    (tmp_path / THREE[1].filename).write_bytes(content(2)[:100])
    repository.failures = 0
    repository.served.clear()
    provide(tmp_path, THREE)

    assert sorted(repository.served) == [THREE[1].filename, THREE[2].filename]
    assert are_verified(tmp_path, THREE)
    assert not list(tmp_path.glob("staging-*"))


def test_another_file_than_the_locked_one_is_refused(
    repository: Repository, tmp_path: Path
) -> None:
    """It is not put into the cache, however often one tries."""
    repository.spoiled = {THREE[1].filename}
    for _ in range(2):
        with pytest.raises(JarError, match=r"org\.example:jar2:1\.0 is not"):
            provide(tmp_path, THREE)
    assert not (tmp_path / THREE[1].filename).exists()
    assert not are_verified(tmp_path, THREE)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"x")])
def test_a_cache_that_somebody_touched_is_mended(
    repository: Repository, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    """Missing and truncated files are seen without reading all of them."""
    provide(tmp_path, THREE)
    repository.served.clear()
    spoil(tmp_path / THREE[2].filename)
    assert not are_verified(tmp_path, THREE)

    provide(tmp_path, THREE)

    assert repository.served == [THREE[2].filename]


def test_a_new_lock_is_checked_anew(repository: Repository, tmp_path: Path) -> None:
    """The cache of another release is not taken for this one's."""
    provide(tmp_path, THREE[:2])

    assert not are_verified(tmp_path, THREE)
    assert not are_verified(tmp_path, THREE[:1])


_STARTED_TOGETHER = """
import sys
from pathlib import Path
from streams.devkit import jars
from tests.unit.devkit.test_jars import THREE, Repository

stand_in = Repository()
stand_in.delay_s = 0.1
jars._download = stand_in.download
jars.provide(Path(sys.argv[1]), THREE)
print(*stand_in.served)
"""


def test_processes_that_start_together_do_not_disturb_each_other(
    tmp_path: Path,
) -> None:
    """One fetches, the others wait for it."""
    command = [sys.executable, "-c", _STARTED_TOGETHER, str(tmp_path / "cache")]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * 4
    assert outputs.count("\n") == 3
    assert sorted(" ".join(outputs).split()) == [each.filename for each in THREE]


def test_the_lock_is_complete() -> None:
    """Each jar once, with a whole digest; Kafka and a logger among them."""
    locked = locked_jars()

    assert len({each.filename for each in locked}) == len(locked)
    assert all(len(each.sha256) == 64 and each.size > 0 for each in locked)
    names = {each.filename for each in locked}
    assert {"kafka_2.13-4.3.0.jar", "slf4j-simple-1.7.36.jar"} <= names
    assert {each.version for each in locked if each.group == "org.slf4j"} == {"1.7.36"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PLANSTREAM_CACHE": "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/planstream"),
        ({"HOME": "/d"}, "/d/.cache/planstream"),
    ],
)
def test_the_cache_is_where_the_user_wants_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    """By our own variable, the XDG one, or the convention."""
    for name in ("PLANSTREAM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert cache_directory() == Path(expected)


def test_the_broken_copy_of_a_jar_is_never_used(
    repository: Repository, tmp_path: Path
) -> None:
    """Same size, other bytes: found before the stamp is set."""
    (tmp_path / THREE[0].filename).write_bytes(content(1).replace(b"jar", b"pot"))

    path = provide(tmp_path, THREE)[0]

    assert path.read_bytes() == content(1)
