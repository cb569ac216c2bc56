"""What every command does with its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from benchmarks.presenting import Files, NothingMeasured, Say, Shown, present
from benchmarks.tables import WIDE, Section, table

SHOWN = Shown(
    title="Title",
    facts=["One fact"],
    sections=[Section("Rows", ("what", "much"), [("a", "1")])],
    document={"a": 1},
    verdict="All is well",
    is_good=True,
    pictures={"plot.svg": "<svg/>"},
    appendix=[Section("More rows", ("what", "much"), [("b", "2")])],
)


def ended(code: int, shown: Shown | NothingMeasured, files: Files) -> None:
    """Presents a report, and expects an exit code."""

    async def measure(say: Say) -> Shown:
        say("measuring")
        if isinstance(shown, NothingMeasured):
            raise shown
        return shown

    with pytest.raises(typer.Exit) as end:
        present(measure, files)
    assert end.value.exit_code == code


def test_a_report_is_written_printed_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Long tables and pictures only where there is room for them."""
    ended(0, SHOWN, Files(tmp_path / "a.json", tmp_path / "a.md"))
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert (tmp_path / "plot.svg").read_text() == "<svg/>"
    text = (tmp_path / "a.md").read_text()
    assert "- One fact\n- All is well\n\n![plot.svg](plot.svg)" in text
    assert "| b | 2 |" in text
    printed = capsys.readouterr().out
    assert "All is well" in printed
    assert "Rows" in printed
    assert "More rows" not in printed


def test_what_is_not_good_is_told_by_the_exit_code() -> None:
    """1 for figures that are not as they should be, 2 for none."""
    bad = Shown("Title", [], [], {}, "no", is_good=False)
    ended(1, bad, Files())
    ended(2, NothingMeasured("no broker"), Files())


def test_sentences_may_be_broken_and_figures_not() -> None:
    """A figure of which half is cut is a wrong one."""
    long = "word " * WIDE
    made = table(Section("Rows", ("what", "much", "why"), [("a", "1", long)]))
    assert [column.no_wrap for column in made.columns] == [True, True, False]
    assert [column.justify for column in made.columns] == ["left", "right", "left"]
