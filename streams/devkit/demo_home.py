"""The directory that the demo leaves behind: reports, and the plans they come from."""

import contextlib
import json
import shutil
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from streams.devkit.demo_plans import DemoPlan, environment
from streams.devkit.demo_reports import ReportLocked, locked
from streams.exceptions import FileUnreadable

DEFAULT = Path("planstream-demo")


class Home:
    """Where reports are written, and, as long as plans run, what their steps share."""

    def __init__(self, reports: Path, work: Path) -> None:
        self.reports = reports
        self._work = work
        self._library = Path(sysconfig.get_path("stdlib"))
        self._lock = contextlib.ExitStack()
        self._locked: list[Path] = []

    @property
    def plans(self) -> Path:
        """Where the plans are written."""
        return self.reports / "plans"

    def environment(self, plan: str) -> dict[str, str]:
        """Give a plan's environment, as it is submitted."""
        return environment(self._library, self._work / plan, self.reports)

    def prepare(self, plans: Iterable[DemoPlan]) -> None:
        """Write the plans; lock the reports that are to be found locked.

        Raises:
            FileUnreadable: Another program has locked one.
        """
        self.plans.mkdir(exist_ok=True)
        for each in plans:
            self._write_plan(each)
            if each.locked:
                self._lock_report(each.name)

    def unlock(self) -> None:
        """Let everybody write to the locked reports."""
        self._lock.close()

    def close(self) -> None:
        """Let go of the reports; one that nobody has written is no report."""
        self.unlock()
        for path in self._locked:
            if not path.stat().st_size:
                path.unlink()

    def _write_plan(self, plan: DemoPlan) -> None:
        """Write it so that it can be submitted again, by hand."""
        again = environment(
            self._library, self.reports / "work" / plan.name, self.reports
        )
        text = json.dumps({"plan": plan.plan, "environment": again}, indent=2)
        (self.plans / f"{plan.name}.json").write_text(text + "\n", "utf-8")
        for name, content in plan.files.items():
            (self.plans / name).write_text(content, "utf-8")

    def _lock_report(self, report: str) -> None:
        """Keep a report from being written, as a program that writes it would."""
        path = self.reports / f"{report}.md"
        try:
            self._lock.enter_context(locked(path))
        except ReportLocked as error:
            why = f"{error}; is another demo running? Choose another with --reports"
            raise FileUnreadable(str(self.reports), why) from None
        self._locked.append(path)


@contextlib.contextmanager
def home(chosen: Path | None) -> Iterator[Home]:
    """Make the directory; what the steps share is removed at the end.

    Raises:
        FileUnreadable: It cannot be written to, or another demo does.
    """
    reports = (chosen or DEFAULT).absolute()
    try:
        reports.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".work-", dir=reports))
    except OSError as error:
        why = f"{error.strerror}; choose another with --reports"
        raise FileUnreadable(str(reports), why) from None
    made = Home(reports, work)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(work, ignore_errors=True)
