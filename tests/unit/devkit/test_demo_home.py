import json
import os
from pathlib import Path

import pytest

from schemas.codec import decode_fields
from schemas.context import PlanSubmission
from schemas.validation import validate
from streams.devkit.demo_home import home
from streams.devkit.demo_plans import demo_plans
from streams.devkit.demo_reports import ReportLocked, write
from streams.exceptions import FileUnreadable
from streams.submissions import complete


def test_only_what_is_for_people_stays(tmp_path: Path) -> None:
    """What steps hand each other goes, and so does a report that nobody has written."""
    with home(tmp_path / "a" / "reports") as here:
        here.prepare(demo_plans())
        workspace = Path(here.environment("json")["workspace"])
        workspace.mkdir(parents=True)
        (workspace / "modules.json").write_text("[]")
        (here.reports / "json.md").write_text("# json")

    left = {path.name for path in here.reports.iterdir()}

    assert left == {"plans", "json.md"}


def test_the_plans_left_can_be_submitted_again(tmp_path: Path) -> None:
    """`planstream submit --fill` completes them, and finds nothing wrong."""
    with home(tmp_path) as here:
        here.prepare(demo_plans())

    files = sorted((tmp_path / "plans").glob("*.json"))
    for file in files:
        text = complete(file.read_text(), 1_700_000_000_000).text
        assert validate(decode_fields(text.encode(), PlanSubmission)[1])[1] == ()
    assert [file.stem for file in files] == sorted(d.name for d in demo_plans())
    assert (tmp_path / "plans" / "mailer.py").is_file()


def test_plans_left_do_not_name_what_has_gone(tmp_path: Path) -> None:
    """The working directory that they name is one of their own."""
    with home(tmp_path) as here:
        here.prepare(demo_plans())
        workspace = here.environment("json")["workspace"]

    left = json.loads((tmp_path / "plans" / "json.json").read_text())

    assert left["environment"]["workspace"] != workspace
    assert left["environment"]["reports"] == str(tmp_path)


def test_a_report_is_locked_until_the_demo_lets_go_of_it(tmp_path: Path) -> None:
    """The plan that writes it has to be tried again."""
    with home(tmp_path) as here:
        here.prepare(demo_plans())
        with pytest.raises(ReportLocked):
            write(tmp_path / "logging.md", "too early")
        here.unlock()
        write(tmp_path / "logging.md", "in time")

    assert (tmp_path / "logging.md").read_text() == "in time"


def test_two_demos_do_not_write_to_one_place(tmp_path: Path) -> None:
    """The second is told so, before it starts anything."""
    with home(tmp_path) as first, home(tmp_path) as second:
        first.prepare(demo_plans())
        with pytest.raises(FileUnreadable, match="is another demo running"):
            second.prepare(demo_plans())


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """With the option that chooses another."""
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(FileUnreadable, match=r"file: .*--reports"),
        home(tmp_path / "file"),
    ):
        pass


def test_reports_go_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless another place is chosen; steps are told the whole path."""
    monkeypatch.chdir(tmp_path)

    with home(None) as here:
        told = here.environment("json")

    assert told["reports"] == os.fspath(tmp_path / "planstream-demo")
