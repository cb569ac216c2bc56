"""Two commits by turns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.comparing import trees
from benchmarks.comparing.command import shown
from benchmarks.comparing.pairs import Pair, compare, measures
from benchmarks.comparing.run import Report, Side
from benchmarks.comparing.trees import Tree
from benchmarks.presenting import NothingMeasured
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
    (tmp_path / "streams.py").write_text("print('its own')")
    found = subprocess.run(
        [sys.executable, "-m", "streams"],
        env=side.variables,
        cwd=tmp_path.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "its own\n"


@pytest.mark.parametrize("text", ["fetch_max_wait_ms", "no_such=1"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    """Before anything is checked out."""
    done = CliRunner().invoke(app, ["compare", "HEAD", "--setting", text])
    assert done.exit_code == 2
    assert "is no setting" in " ".join(done.output.split())


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
    with pytest.raises(NothingMeasured, match="no compiler"):
        trees.compiled(tree, tmp_path / "bad")
