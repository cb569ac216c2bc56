"""The compiled folds do what their sources say (docs/adr/0016).

They are left out where there is no C compiler: nothing else of planstream needs one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.machine import is_compiled
from tests.conftest import Broker
from tools.compile import (
    MODULES,
    ROOT,
    SUFFIX,
    CannotCompile,
    copy_compiled,
    copy_project,
    run_in,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which("cc") is None or is_compiled(),
        reason="there is no C compiler, or all of this is compiled already",
    ),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel that has them, as a release does."""
    directory = tmp_path_factory.mktemp("dist")
    variables = {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"}
    build = ("-m", "hatchling", "build", "-t", "wheel", "-d", str(directory))
    run(ROOT, *build, **variables)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def copy(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the project as it is in that wheel, with its tests."""
    copy = tmp_path_factory.mktemp("copy") / "planstream"
    copy_project(ROOT, copy)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(copy)
    return copy


def run(where: Path, *command: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=where,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def test_the_wheel_is_for_this_platform(wheel: Path) -> None:
    """A library for each module and one that they share, beside all the sources."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert not wheel.name.endswith("-none-any.whl")
    assert sum(name.endswith(SUFFIX) for name in names) == len(MODULES) + 1
    assert set(MODULES) < set(names)


def test_libraries_are_what_is_imported(copy: Path) -> None:
    """Before the sources beside them."""
    names = [module.removesuffix(".py").replace("/", ".") for module in MODULES]
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    print(importlib.import_module(name).__file__)"
    )
    files = run(copy, "-c", script, *names).split()
    assert len(files) == len(MODULES)
    assert all(str(copy) in each and each.endswith(SUFFIX) for each in files)


def test_functions_of_schemas_were_made_ahead(copy: Path) -> None:
    """Those of all records that come with every plan, and they are compiled."""
    script = (
        "from schemas.avro_made import FUNCTIONS\n"
        "from tools.avro import functions\n"
        "made = {each.digest: each for each in functions()}\n"
        "assert made.keys() == FUNCTIONS.keys()\n"
        "assert all(made[key].function() is FUNCTIONS[key] for key in made)\n"
        "print({type(each).__name__ for each in FUNCTIONS.values()})"
    )
    assert run(copy, "-c", script) == "{'builtin_function_or_method'}\n"


def test_what_folds_want_cannot_be_changed(copy: Path) -> None:
    """Uncompiled, only the type checker sees to that."""
    script = (
        "from agents.core.commands import SaveStep\n"
        "save = SaveStep(1)\n"
        "assert save == SaveStep(1) and hash(save) == hash(SaveStep(1))\n"
        "try:\n"
        "    save.step = 2\n"
        "except AttributeError as error:\n"
        "    print(error)"
    )
    assert "not writable" in run(copy, "-c", script)


def test_rules_and_simulation_hold_when_compiled(copy: Path) -> None:
    """The tests of what is compiled, and the simulated faults."""
    parts = (
        *("core", "coordinator", "schemas", "worker"),
        "runtime/test_coordinator.py",
    )
    told = run(
        copy,
        *("-m", "pytest", "-q", "-m", "not broker"),
        *(f"tests/unit/{part}" for part in parts),
        "tests/property/test_codec.py",
        "tests/property/test_hostile_bytes.py",
        "tests/simulation/test_simulation.py",
    )
    assert "it replaces what is compiled here" in told


def test_plans_run_when_compiled(copy: Path, kafka: Broker) -> None:
    """On a real broker, with real processes."""
    run(
        copy,
        *("-m", "pytest", "-q"),
        "tests/integration/test_several.py",
        "tests/integration/test_dead_letters.py",
        PLANSTREAM_BROKER=kafka.bootstrap,
    )


def test_an_isolated_build_finds_its_dependencies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pip tells them by PYTHONPATH: what is run for a build sees them still."""
    (tmp_path / "only_there.py").write_text("", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run_in(ROOT, "-c", "import only_there, schemas.codec")


def test_what_the_compiler_refuses_is_told(tmp_path: Path) -> None:
    """And leaves no copy behind."""
    root = tmp_path / "project"
    for package in ("agents", "schemas", "streams"):
        shutil.copytree(ROOT / package, root / package)
    (root / "schemas/identity.py").write_text("def broken(: int", encoding="utf-8")
    with pytest.raises(CannotCompile, match=r"identity\.py"):
        copy_compiled(root, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
