"""The demo's step handlers: they measure packages of Python's standard library.

`planstream worker --handlers streams.devkit.demo_handlers`

A plan's steps hand each other files in a directory that the environment names; no
step's output becomes another's payload. As a step may run again after a crash, each
writes whole files, by a new name that then replaces the old one.
"""

import asyncio
import difflib
import heapq
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, TypeAdapter

from agents import ActionError, StepContext, action
from streams.devkit.demo_measures import Measure, NotPython, measure
from streams.devkit.demo_reports import ReportLocked, text_of, write

APART = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3"}
)
"""Directories that are no part of the library proper: not every machine has them, and
some of their files are wrong on purpose."""
ALIKE = 0.9

_MEASURE = TypeAdapter(Measure)
_GROUPS = TypeAdapter(list[list[str]])


class Search(BaseModel):
    """Which modules are looked for, and how many steps share them."""

    package: str
    """Its directory in the library; an empty one is the whole library."""
    groups: int = Field(default=1, ge=1)


class Group(BaseModel):
    """One share of the modules found."""

    group: int = Field(ge=0)


class File(BaseModel):
    """One file, named as seen from the reports' directory."""

    file: str


class Title(BaseModel):
    """What a report is about."""

    title: str


@dataclass(frozen=True)
class Places:
    """The directories that a plan's environment names."""

    library: Path
    workspace: Path
    reports: Path

    @classmethod
    def of(cls, step: StepContext) -> Self:
        """Read them, and make the one that the steps share."""
        names = ("library", "workspace", "reports")
        places = cls(*(Path(step.environment[name]) for name in names))
        places.workspace.mkdir(parents=True, exist_ok=True)
        return places

    @property
    def groups(self) -> Path:
        """Which modules there are, in groups."""
        return self.workspace / "modules.json"

    def measures(self, group: int) -> Path:
        """What one group measures."""
        return self.workspace / f"measures-{group}.json"

    @property
    def summary(self) -> Path:
        """What all groups measure together."""
        return self.workspace / "summary.json"


@action("find-modules")
def find_modules(step: StepContext, payload: Search) -> dict[str, int]:
    """Find a package's modules; share them out in groups of about the same size."""
    places = Places.of(step)
    sizes = {
        file: (places.library / file).stat().st_size
        for file in _modules(places.library, payload.package)
    }
    if not sizes:
        where = places.library / payload.package
        raise ActionError("NO_MODULES", f"there are no Python files in {where}")
    groups = _share(sizes, payload.groups)
    _write(places.groups, _GROUPS.dump_json(groups))
    return {"files": len(sizes), "bytes": sum(sizes.values())}


@action("measure-modules")
def measure_modules(step: StepContext, payload: Group) -> dict[str, int]:
    """Measure one group's modules; a file that is no Python is worth a warning."""
    places = Places.of(step)
    files = _GROUPS.validate_json(places.groups.read_bytes())[payload.group]
    total = Measure()
    for file in files:
        try:
            total += measure((places.library / file).read_bytes(), file)
        except NotPython as error:
            step.warn("NOT_PYTHON", str(error))
    _write(places.measures(payload.group), _MEASURE.dump_json(total))
    return _counts(total)


@action("measure-file")
def measure_file(step: StepContext, payload: File) -> dict[str, int]:
    """Measure one file, which must be Python."""
    source = (Places.of(step).reports / payload.file).read_bytes()
    try:
        return _counts(measure(source, payload.file))
    except NotPython as error:
        raise ActionError("NOT_PYTHON", str(error)) from None


@action("merge-measures")
def merge_measures(step: StepContext) -> dict[str, int]:
    """Count together what the groups have measured."""
    places = Places.of(step)
    groups = _GROUPS.validate_json(places.groups.read_bytes())
    total = Measure()
    for number in range(len(groups)):
        total += _MEASURE.validate_json(places.measures(number).read_bytes())
    _write(places.summary, _MEASURE.dump_json(total))
    return _counts(total)


@action("write-report")
async def write_report(step: StepContext, payload: Title) -> dict[str, str]:
    """Write the report that people read, unless somebody else is writing it."""
    places = Places.of(step)
    report = places.reports / f"{payload.title}.md"
    made_by = f"Plan {step.plan_id}, attempt {step.attempt} of its report."
    try:
        await asyncio.to_thread(_report, places, report, payload.title, made_by)
    except ReportLocked as error:
        raise ActionError("REPORT_LOCKED", str(error)) from None
    return {"report": str(report)}


@action("find-twins")
def find_twins(step: StepContext) -> dict[str, list[str]]:
    """Find modules that are nearly alike: each is compared with all others.

    For a whole library that is 200,000 pairs, and minutes.
    """
    places = Places.of(step)
    groups = _GROUPS.validate_json(places.groups.read_bytes())
    texts = {
        file: (places.library / file).read_bytes().splitlines()
        for file in itertools.chain.from_iterable(groups)
    }
    twins = [
        f"{one} = {other}"
        for one, other in itertools.combinations(texts, 2)
        if difflib.SequenceMatcher(None, texts[one], texts[other]).ratio() > ALIKE
    ]
    return {"twins": twins}


def _modules(library: Path, package: str) -> Iterator[str]:
    for path in sorted((library / package).rglob("*.py")):
        file = path.relative_to(library)
        if APART.isdisjoint(file.parts):
            yield file.as_posix()


def _share(sizes: dict[str, int], count: int) -> list[list[str]]:
    """Give the largest files out first, each to the group that has least."""
    groups: list[list[str]] = [[] for _ in range(count)]
    heap = [(0, number) for number in range(count)]
    for file in sorted(sizes, key=lambda file: -sizes[file]):
        size, number = heap[0]
        groups[number].append(file)
        heapq.heapreplace(heap, (size + sizes[file], number))
    return groups


def _report(places: Places, report: Path, title: str, made_by: str) -> None:
    total = _MEASURE.validate_json(places.summary.read_bytes())
    write(report, text_of(title, total, made_by))


def _write(path: Path, content: bytes) -> None:
    """Write a whole file: who reads it finds all of it, or that of before."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.write_bytes(content)
    draft.replace(path)


def _counts(total: Measure) -> dict[str, int]:
    names = ("files", "lines", "functions", "classes")
    return {name: getattr(total, name) for name in names}
