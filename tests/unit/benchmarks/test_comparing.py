"""Two commits by turns."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.comparing import run as comparison
from benchmarks.comparing import trees
from benchmarks.comparing.command import shown
from benchmarks.comparing.pairs import Pair, compare, measures
from benchmarks.comparing.run import Options as ComparisonOptions
from benchmarks.comparing.run import Report, Side
from benchmarks.comparing.trees import Tree
from benchmarks.presenting import NothingMeasured
from streams.devkit.supervisor import Command
from tests.unit.benchmarks.test_report import MACHINE, report


@pytest.mark.parametrize(
    ("measure", "candidate", "verdict"),
    [
        ("plans/s", [110, 220, 130], "better"),
        ("plans/s", [90, 180, 99], "worse"),
        ("plans/s", [110, 199, 130], "no difference"),
        ("p50 ms", [90, 180, 99], "better"),
        ("CPU ms a step, worker", [110, 220, 130], "worse"),
    ],
)
def test_a_difference_is_one_that_every_round_has(
    measure: str, candidate: list[float], verdict: str
) -> None:
    """The machine may be twice as fast in one round: ratios are within a round."""
    pair = Pair.of(measure, [100, 200, 100], candidate)
    assert pair.verdict == verdict
    assert pair.least <= pair.ratio <= pair.most


def test_two_rounds_are_too_few() -> None:
    """Chance alone has both on one side every other time."""
    assert Pair.of("plans/s", [100, 100], [150, 150]).verdict == "too few rounds"


def test_only_what_all_rounds_have_is_compared() -> None:
    """A process that spent nothing measurable in one round is left out."""
    pairs = compare([{"a": 1, "b": 2}, {"a": 2}], [{"a": 2, "b": 2}, {"a": 4, "b": 1}])
    assert [(each.measure, each.ratio) for each in pairs] == [("a", 2)]


def test_measures_are_taken_from_a_report() -> None:
    """Of each closed loop, with what the processes spent."""
    found = measures(report().to_dict())
    assert found["chain-3 × 100 plans/s"] == 50
    assert found["chain-3 × 100 p99 ms"] == 99
    assert found["chain-3 × 100 CPU ms a step, coordinator"] == 2


def test_a_report_names_both_commits() -> None:
    """In the heads of its columns."""
    pairs = [Pair.of("plans/s", [100.0] * 3, [200.0] * 3)]
    found = shown(Report(MACHINE, ("aaa", "bbb"), 3, pairs, ((), ()), wrong=0))
    assert (
        "| plans/s | 100 | 200 | 2.000 | 2.000 | 2.000 | better |" in found.markdown()
    )
    assert "| aaa | bbb |" in found.markdown()
    assert found.is_good


def test_a_commit_is_checked_out_with_the_present_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its engine is its own; the folder is gone in the end, and so is the worktree."""
    root = tmp_path / "repository"
    for name in ("benchmarks", "streams"):
        (root / name).mkdir(parents=True)
        (root / name / "which.py").write_text("old")
    (root / trees.LOCK).write_text("locked")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(root))
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-qm", "one")):
        subprocess.run([*git, *arguments], check=True)
    for name in ("benchmarks", "streams"):
        (root / name / "which.py").write_text("new")
    monkeypatch.setattr(trees, "ROOT", root)
    with trees.checked_out("HEAD", tmp_path / "tree") as tree:
        assert (tree.folder / "streams" / "which.py").read_text() == "old"
        assert (tree.folder / "benchmarks" / "which.py").read_text() == "new"
        assert tree.python == Path(sys.executable)
    assert not tree.folder.exists()
    with (
        pytest.raises(NothingMeasured, match="no-such-commit"),
        trees.checked_out("no-such-commit", tmp_path / "tree"),
    ):
        pass


def test_a_side_runs_its_own_modules_with_its_own_settings(tmp_path: Path) -> None:
    """Whatever this process finds its modules by, as in a compiled copy."""
    tree = Tree("aaa", tmp_path, Path(sys.executable))
    side = Side(tree, {"fetch_max_wait_ms": "500"})
    assert side.name == "aaa fetch_max_wait_ms=500"
    assert side.variables["PLANSTREAM_FETCH_MAX_WAIT_MS"] == "500"
    rivals = tmp_path / "found-by", tmp_path / "here"
    for folder, word in ((tmp_path, "its own"), *((each, "other") for each in rivals)):
        folder.mkdir(exist_ok=True)
        (folder / "streams.py").write_text(f"print('{word}')")
    found = subprocess.run(
        [sys.executable, "-m", "streams"],
        env=os.environ | {"PYTHONPATH": str(rivals[0])} | side.variables,
        cwd=rivals[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "its own\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fetch_max_wait_ms", "is no setting"),
        ("no_such=1", "is no setting"),
        ("fetch_max_wait_ms=soon", "fetch_max_wait_ms"),
        ("broker=127.0.0.1:9", "is given to both"),
        ("partitions=4", "is given to both"),
    ],
)
def test_what_would_not_arrive_is_refused(text: str, why: str) -> None:
    """Before anything is checked out: a column of it would lie."""
    argv = ["compare", "HEAD", "--partitions", "2", "--setting", text]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 2
    assert why in " ".join(done.output.lower().split())


def test_a_tree_is_compiled_by_its_own_tools(tmp_path: Path) -> None:
    """It may have others than this one; what they say is told if they cannot."""
    tools = tmp_path / "tree" / "tools"
    tools.mkdir(parents=True)
    (tools / "compile.py").write_text(
        "import pathlib, sys\n"
        "sys.argv[1].endswith('bad') and sys.exit('no compiler')\n"
        "pathlib.Path(sys.argv[1]).mkdir()\n"
    )
    tree = Tree("aaa", tmp_path / "tree", Path(sys.executable))
    copy = trees.compiled(tree, tmp_path / "copy")
    assert copy.folder == tmp_path / "copy"
    assert copy.folder.is_dir()
    assert copy.is_compiled
    with pytest.raises(NothingMeasured, match="no compiler"):
        trees.compiled(tree, tmp_path / "bad")


class Runs:
    """Stands for the runs of a comparison: no system is started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, compiled: bool) -> None:
        self.compiled = compiled
        self.made: list[str] = []
        self.asked: list[dict[str, str]] = []
        monkeypatch.setattr(comparison, "checked_out", self._checked_out)
        monkeypatch.setattr(trees, "compiled", self._compiled)
        monkeypatch.setattr(comparison, "Supervisor", self._supervisor)
        monkeypatch.setattr(comparison, "_taken", self._taken)

    @contextmanager
    def _checked_out(self, commit: str, folder: Path) -> Iterator[Tree]:
        yield Tree(commit, folder, Path(sys.executable))

    def _compiled(self, tree: Tree, folder: Path) -> Tree:
        self.made.append(tree.commit)
        return Tree(tree.commit, folder, tree.python, is_compiled=True)

    @asynccontextmanager
    async def _supervisor(self, **_options: Any) -> AsyncIterator[Runs]:
        yield self

    def start(self, command: Command) -> Runs:
        self.asked.append(dict(command.env))
        return self

    async def wait_ready(self, _seconds: float) -> None:
        """Is at its end at once."""

    def _taken(self, _file: Path) -> dict[str, Any]:
        machine = {**MACHINE, "compiled": self.compiled}
        return {**report().to_dict(), "machine": machine}


def compared(options: ComparisonOptions) -> Report:
    """Runs a comparison."""
    return asyncio.run(comparison.run(options, lambda _: None))


def test_a_setting_is_the_candidates_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """By turns, base first; one commit is compiled once."""
    runs = Runs(monkeypatch, compiled=True)
    settings = {"fetch_max_wait_ms": "500"}
    options = ComparisonOptions("a", "a", 2, [], compiled=True, settings=settings)
    found = compared(options)
    name = "PLANSTREAM_FETCH_MAX_WAIT_MS"
    assert [each.get(name) for each in runs.asked] == [None, "500"] * 2
    assert runs.made == ["a"]
    assert {Path(each["PYTHONPATH"]).name for each in runs.asked} == {"a-compiled"}
    assert found.sides == ("a", "a fetch_max_wait_ms=500")
    assert found.machine["compiled"]


def test_folds_are_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the report would tell of something that did not run."""
    Runs(monkeypatch, compiled=False)
    with pytest.raises(NothingMeasured, match="its folds were interpreted"):
        compared(ComparisonOptions("a", "b", 1, [], compiled=True))
