"""Compiles what is done with every record to C (docs/adr/0016).

    python -m tools.compile FOLDER

makes FOLDER a copy of the project with these modules compiled. Run from there, or with
it in front of the path, planstream uses them; the sources beside them say the same, but
for `schemas/avro_made.py`, which `tools/avro.py` writes.
`tools/wheel.py` puts them into a wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("agents", "schemas", "streams")
"""What a wheel holds."""
BESIDE = (".ci", "benchmarks", "docs", "examples", "tests", "tools")
"""What else is run from a copy of the project."""
NOT_COPIED = (".git", ".coverage")
COMMIT = "COMMIT"
"""A copy's file that names the commit it was made of, with a + when files differed."""

MODULES = (
    "agents/core/actions.py",
    "agents/core/admission.py",
    "agents/core/commands.py",
    "agents/core/consequences.py",
    "agents/core/deadlines.py",
    "agents/core/ending.py",
    "agents/core/events.py",
    "agents/core/failures.py",
    "agents/core/folding.py",
    "agents/core/outcome.py",
    "agents/core/progress.py",
    "agents/core/recovery.py",
    "agents/core/retries.py",
    "agents/core/states.py",
    "agents/core/terms.py",
    "agents/core/traces.py",
    "agents/admission.py",
    "agents/aggregation.py",
    "agents/alarms.py",
    "agents/coordinator.py",
    "agents/deadlines.py",
    "agents/dispatch.py",
    "agents/effects.py",
    "agents/engine.py",
    "agents/execution.py",
    "agents/nested.py",
    "agents/open_plans.py",
    "agents/partitioner.py",
    "agents/payloads.py",
    "agents/publication.py",
    "agents/references.py",
    "agents/reporting.py",
    "agents/running.py",
    "agents/scheduling.py",
    "agents/serialization.py",
    "agents/submitting.py",
    "agents/tables.py",
    "schemas/avro_format.py",
    "schemas/avro_made.py",
    "schemas/avro_reader.py",
    "schemas/avro_values.py",
    "schemas/avro_writer.py",
    "schemas/codec.py",
    "schemas/identity.py",
    "schemas/json_scan.py",
    "schemas/opaque.py",
    "schemas/validation.py",
    "streams/runtime/locator.py",
)
"""What is compiled: folds, tables, formats and the engine, busy with every plan."""

CONFIG = """\
[mypy]
plugins = pydantic.mypy
ignore_missing_imports = true
"""
SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX")
IGNORED = shutil.ignore_patterns("__pycache__", f"*{SUFFIX}")


class CannotCompile(Exception):
    """There is no C compiler, or something else of what it takes, or one refused."""


def compiled(root: Path, folder: Path) -> list[Path]:
    """Compile the modules of the project at `root` into `folder`.

    Returns:
        The paths of all shared libraries, relative to the folder.

    Raises:
        CannotCompile: with what the compilers said.
    """
    for package in PACKAGES:
        _copy(root / package, folder / package)
    (folder / "mypy.ini").write_text(CONFIG, encoding="utf-8")
    maker = Path(__file__).with_name("avro.py")
    run_in(folder, str(maker), "schemas/avro_made.py")
    run_in(folder, "-m", "mypyc", *MODULES)
    shutil.rmtree(folder / "build")
    return sorted(path.relative_to(folder) for path in folder.rglob(f"*{SUFFIX}"))


def run_in(folder: Path, *command: str) -> None:
    """Run Python with the packages of a folder, and what it finds otherwise.

    Raises:
        CannotCompile: with what it said, when it failed.
    """
    # An isolated build finds its dependencies by this variable: nothing may be lost.
    paths = filter(None, [str(folder), os.environ.get("PYTHONPATH")])
    variables = {
        "MYPYC_OPT_LEVEL": "3",
        "MYPYC_DEBUG_LEVEL": "0",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotCompile(done.stdout)


def copy_compiled(root: Path, copy: Path) -> int:
    """Make `copy` the project with compiled modules; how many libraries it has.

    Raises:
        CannotCompile: with what the compilers said; the copy is as it was.
    """
    with tempfile.TemporaryDirectory(prefix="planstream-compile-") as scratch:
        libraries = compiled(root, Path(scratch))
        if copy.exists():
            shutil.rmtree(copy)
        copy_project(root, copy)
        for library in libraries:
            shutil.copy2(Path(scratch) / library, copy / library)
        (copy / COMMIT).write_text(_commit(root), encoding="utf-8")
    return len(libraries)


def _commit(root: Path) -> str:
    describe = ("describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+")
    try:
        done = subprocess.run(
            ("git", *describe), cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def copy_project(root: Path, copy: Path) -> None:
    """Copy what is run from a project's folder."""
    files = [path.name for path in root.iterdir() if path.is_file()]
    wanted = {*PACKAGES, *BESIDE, *files}.difference(NOT_COPIED)
    for name in sorted(wanted):
        if (root / name).exists() and not name.endswith(SUFFIX):
            _copy(root / name, copy / name)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=IGNORED)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def main() -> None:
    """Compile into the folder that is named."""
    (folder,) = sys.argv[1:]
    try:
        count = copy_compiled(ROOT, Path(folder).absolute())
    except CannotCompile as error:
        sys.exit(f"{error}\nnothing was compiled; a C compiler is needed")
    print(f"{folder}: the project, with {count - 1} modules compiled")


if __name__ == "__main__":
    main()
