import asyncio
import logging
from pathlib import Path

import pytest

from agents import ActionError, StepContext
from streams.devkit.demo_handlers import (
    File,
    Group,
    Search,
    Title,
    find_modules,
    find_twins,
    measure_file,
    measure_modules,
    merge_measures,
    write_report,
)
from streams.devkit.demo_plans import environment
from streams.devkit.demo_reports import locked

SOURCES = {
    "shop/__init__.py": "",
    "shop/cart.py": "def add(item):\n    if item:\n        return 1\n",
    "shop/till.py": "class Till:\n    def open(self): pass\n" * 20,
    "shop/deep/stock.py": "import os\n",
    "shop/tests/test_cart.py": "this is no part of it",
    "shop/readme.txt": "nor is this",
    "other.py": "x = 1\n",
}


@pytest.fixture
def step(tmp_path: Path) -> StepContext:
    """A step of a plan, with a small library to work on."""
    library = tmp_path / "library"
    for name, text in SOURCES.items():
        path = library / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    reports = tmp_path / "reports"
    reports.mkdir()
    places = environment(library, tmp_path / "work" / "shop", reports)
    return StepContext.sample(places)


def prepare(step: StepContext, groups: int = 2) -> None:
    find_modules(step, Search(package="shop", groups=groups))
    for group in range(groups):
        measure_modules(step, Group(group=group))
    merge_measures(step)


def work(step: StepContext) -> Path:
    return Path(step.environment["workspace"])


def reports(step: StepContext) -> Path:
    return Path(step.environment["reports"])


def write_shop_report(step: StepContext) -> Path:
    return Path(asyncio.run(write_report(step, Title(title="shop")))["report"])


def test_the_modules_of_a_package_are_found(step: StepContext) -> None:
    """Those of its packages too; its tests and other files are none."""
    found = find_modules(step, Search(package="shop"))

    sizes = {name: len(SOURCES[name]) for name in list(SOURCES)[:4]}
    assert found == {"files": 4, "bytes": sum(sizes.values())}


def test_groups_measure_what_one_would(step: StepContext) -> None:
    """However many share the work, each module is measured once."""
    totals = []
    for groups in (1, 2, 3, 7):
        prepare(step, groups)
        totals.append(merge_measures(step))

    assert totals == [{"files": 4, "lines": 44, "functions": 21, "classes": 20}] * 4


def test_a_step_may_run_again(step: StepContext) -> None:
    """After a crash it does, and leaves the same files, and no drafts."""
    prepare(step)
    before = {path.name: path.read_bytes() for path in work(step).iterdir()}

    prepare(step)

    assert {path.name: path.read_bytes() for path in work(step).iterdir()} == before
    assert sorted(before) == [
        "measures-0.json",
        "measures-1.json",
        "modules.json",
        "summary.json",
    ]


def test_the_report_says_what_was_measured(step: StepContext) -> None:
    """Written over an older one, whole."""
    prepare(step)
    (reports(step) / "shop.md").write_text("an older, longer report\n" * 1000)

    text = write_shop_report(step).read_text()

    assert text.startswith("# shop, in Python 3.")
    assert "| 4 | 44 | 21 | 20 | 1.05 |" in text
    assert "| 2 | `add` | shop/cart.py:1 |" in text
    assert "older" not in text


def test_a_report_that_somebody_writes_is_left_alone(step: StepContext) -> None:
    """The step fails with a code that the plan has tried again; then it works."""
    prepare(step)
    report = reports(step) / "shop.md"
    with locked(report) as theirs:
        theirs.write("theirs")
        with pytest.raises(ActionError) as failed:
            write_shop_report(step)

    assert failed.value.code == "REPORT_LOCKED"
    assert report.read_text() == "theirs"
    assert "# shop" in write_shop_report(step).read_text()


def test_a_package_without_modules_is_an_error(step: StepContext) -> None:
    """Its message says where nothing was found."""
    with pytest.raises(ActionError, match=r"library/nothing") as failed:
        find_modules(step, Search(package="nothing"))

    assert failed.value.code == "NO_MODULES"


def test_a_module_that_is_no_python_is_worth_a_warning(
    step: StepContext, caplog: pytest.LogCaptureFixture
) -> None:
    """The others of its group are measured all the same."""
    library = Path(step.environment["library"])
    (library / "shop" / "old.py").write_text('print "hello"')

    with caplog.at_level(logging.WARNING):
        prepare(step)

    assert "NOT_PYTHON: shop/old.py, line 1" in caplog.text
    assert merge_measures(step)["files"] == 4


def test_a_file_that_must_be_python_fails_its_step(step: StepContext) -> None:
    """The message says which line, and why."""
    (reports(step) / "old.py").write_text('x = 1\nprint "hello"\n')
    (reports(step) / "new.py").write_text("x = 1\n")

    with pytest.raises(ActionError, match=r"old\.py, line 2") as failed:
        measure_file(step, File(file="old.py"))

    assert failed.value.code == "NOT_PYTHON"
    assert measure_file(step, File(file="new.py"))["lines"] == 1


def test_twins_are_found(step: StepContext) -> None:
    """Modules are compared line by line, each with each."""
    library = Path(step.environment["library"])
    for name in ("one", "two"):
        text = "".join(f"line{number} = 1\n" for number in range(50)) + f"{name} = 2\n"
        (library / "shop" / f"{name}.py").write_text(text)
    find_modules(step, Search(package="shop", groups=2))

    (twins,) = find_twins(step)["twins"]

    assert set(twins.split(" = ")) == {"shop/one.py", "shop/two.py"}
