import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, as a release does."""
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
    subprocess.run([*build, str(directory)], cwd=ROOT, check=True, capture_output=True)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_all_that_is_needed_is_in_the_wheel(contents: set[str]) -> None:
    """Modules, schemas, locks and type markers of the three packages."""
    packages = ("schemas", "agents", "streams")
    suffixes = {".py", ".avsc", ".json", ".typed", ".toml"}
    ours = {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.suffix in suffixes or path.name == "py.typed"
    }

    assert {f"{package}/py.typed" for package in packages} <= ours
    assert any(name.endswith(".avsc") for name in ours)
    assert "streams/devkit/kafka.lock.json" in ours
    assert ours <= contents


def test_nothing_else_is_in_the_wheel(contents: set[str]) -> None:
    """Tests and benchmarks would land beside everybody's packages."""
    folders = {name.partition("/")[0] for name in contents}

    assert folders == {"schemas", "agents", "streams", "planstream-0.1.0.dist-info"}


def test_the_wheel_works_where_it_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    """Outside the checkout, with its data files."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from streams.devkit.jars import locked_jars
from streams.packages import check_packages
from schemas.codec import schema_of
from schemas.context import PlanSubmission
import schemas
check_packages()
assert schemas.__file__.startswith({str(tmp_path)!r})
assert locked_jars() and schema_of(PlanSubmission)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_the_metadata_say_what_it_is(metadata: Message) -> None:
    """Name, version, licence and the Pythons that it runs on."""
    assert metadata["Name"] == "planstream"
    assert metadata["Version"] == "0.1.0"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_change_log_knows_the_version(metadata: Message) -> None:
    """A release without an entry is a release without news."""
    assert f"## [{metadata['Version']}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_what_we_override_is_pinned(pyproject: dict[str, Any]) -> None:
    """Parts of these that are not public are replaced by streams/runtime."""
    dependencies = map(Requirement, pyproject["project"]["dependencies"])
    pins = {each.name: str(each.specifier) for each in dependencies}

    assert pins["faust-streaming"] == "==0.15.3"
    assert pins["mode-streaming"] == "==0.7.1"
    assert pins["aiokafka"] == "==0.14.0"


def locked() -> dict[str, tuple[str, int]]:
    """Read the lock: each name with its version and its number of hashes."""
    text = (ROOT / "constraints.txt").read_text("utf-8").replace("\\\n", " ")
    entries = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pin, *hashes = re.split(r"\s+--hash=sha256:(?=[0-9a-f]{64}\b)", line)
            requirement = Requirement(pin)
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            entries[requirement.name] = (specifier.version, len(hashes))
    return entries


def test_every_locked_package_has_hashes() -> None:
    """Pip checks what it downloads against them."""
    assert len(locked()) > 50
    assert not [name for name, (_, hashes) in locked().items() if hashes == 0]


def test_the_lock_has_all_that_the_project_needs(pyproject: dict[str, Any]) -> None:
    """In a version that the project accepts: else make lock has been forgotten."""
    project, groups = pyproject["project"], pyproject["dependency-groups"]
    needed = [
        *project["dependencies"],
        *project["optional-dependencies"]["devkit"],
        *(each for group in groups.values() for each in group if isinstance(each, str)),
        *pyproject["build-system"]["requires"],
    ]
    pins = locked()
    wrong = [
        text
        for text in needed
        for requirement in [Requirement(text)]
        if not requirement.specifier.contains(pins.get(requirement.name, ("0", 0))[0])
    ]

    assert not wrong


def test_make_lists_its_commands() -> None:
    """`make` alone explains itself."""
    answer = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    for command in ("demo", "test", "check", "chaos", "bench", "clean"):
        assert f"make {command} " in answer


def _python(directory: Path, name: str, exit_code: int) -> None:
    script = directory / name
    script.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    script.chmod(0o755)


def _find_python(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "tools" / "find-python.sh"],
        env={"PATH": str(path), **variables},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def only_cat(tmp_path: Path) -> Path:
    """A directory for a path with a shell's needs and no Python."""
    for program in ("cat", "sh"):
        (tmp_path / program).symlink_to(Path("/bin") / program)
    return tmp_path


def test_a_python_that_fits_is_found(only_cat: Path) -> None:
    """Though an older one comes first on the path."""
    _python(only_cat, "python3", 1)
    _python(only_cat, "python3.12", 0)

    assert _find_python(only_cat).stdout == "python3.12\n"


def test_a_machine_without_a_fit_python_is_told_so(only_cat: Path) -> None:
    """What is needed, and how to get it."""
    _python(only_cat, "python3", 1)
    answer = _find_python(only_cat)

    assert answer.returncode == 1
    assert "planstream needs Python 3.11 or newer" in answer.stderr
    assert "python3-venv" in answer.stderr


def test_a_chosen_python_is_the_only_one_considered(only_cat: Path) -> None:
    """Who names one wants that one or none."""
    _python(only_cat, "python3", 0)
    _python(only_cat, "mine", 1)

    assert _find_python(only_cat, PYTHON="mine").returncode == 1
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
