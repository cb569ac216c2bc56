"""A commit's engine in a folder of its own, under the present benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.presenting import NothingMeasured
from benchmarks.system import ROOT

LOCK = "constraints.txt"


@dataclass(frozen=True)
class Tree:
    """A checked out commit, and the Python that runs it."""

    commit: str
    folder: Path
    python: Path
    is_compiled: bool = False

    @property
    def variables(self) -> Mapping[str, str]:
        """Makes its modules the ones that are found, whatever ours are found by."""
        return {"PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"}


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Tree]:
    """Checks a commit out, and gives it the benchmarks of this tree.

    So both commits are measured in the same way. A commit with other dependencies gets
    an environment of its own.

    Raises:
        NothingMeasured: There is no such commit, or it cannot be set up.
    """
    name = _run("git", "rev-parse", "--short=12", f"{commit}^{{commit}}").strip()
    _run("git", "worktree", "add", "--detach", str(folder), name)
    try:
        shutil.rmtree(folder / "benchmarks")
        shutil.copytree(ROOT / "benchmarks", folder / "benchmarks")
        yield Tree(name, folder, _python(folder))
    finally:
        _run("git", "worktree", "remove", "--force", str(folder))


def compiled(tree: Tree, folder: Path) -> Tree:
    """Makes a copy of a tree with its folds compiled, by its own tools.

    Raises:
        NothingMeasured: It cannot be compiled.
    """
    tool = tree.folder / "tools" / "compile.py"
    _run(str(tree.python), str(tool), str(folder), cwd=tree.folder, **tree.variables)
    return replace(tree, folder=folder, is_compiled=True)


def _python(folder: Path) -> Path:
    """Finds the interpreter: this one, if the commit has the same dependencies."""
    if (folder / LOCK).read_bytes() == (ROOT / LOCK).read_bytes():
        return Path(sys.executable)
    _run("make", "-C", str(folder), "setup")
    python = folder / ".venv" / "bin" / "python"
    # What the benchmarks themselves need, of which the commit may know nothing.
    requirements = ("psutil>=6", "matplotlib>=3.10")
    _run(str(python), "-m", "pip", "install", "--quiet", *requirements)
    return python


def _run(*argv: str, cwd: Path | None = None, **variables: str) -> str:
    done = subprocess.run(
        argv,
        cwd=cwd or ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NothingMeasured(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
