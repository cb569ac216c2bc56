"""Recorded workflows: their bounds, and the plans made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.wfcommons import convert, wfplans
from examples.wfcommons.bounds import bound
from examples.wfcommons.instance import (
    Instance,
    InstanceError,
    Task,
    load,
    to_compact,
)

FOLDER = Path(convert.__file__).parent / "instances"
FILES = sorted(FOLDER.glob("*.json"))

SHAPES = {
    # tasks, edges, critical path s, sum s
    "helloworld-chain-5-chameleon": (5, 4, 501.240, 501.240),
    "cutandrun-dirt02-001": (120, 196, 317.000, 904.304),
    "epigenomics-chameleon-hep-2seq-50k-001": (223, 274, 125.246, 3631.637),
    "blast-chameleon-large-001": (103, 300, 1819.117, 154331.156),
    "bwa-chameleon-small-001": (104, 400, 91.371, 379.989),
    "montage-chameleon-2mass-015d-001": (310, 798, 26.385, 854.867),
    "seismology-chameleon-500p-001": (501, 500, 5.815, 288.103),
    "1000genome-chameleon-4ch-250k-001": (164, 212, 347.498, 11884.262),
}

BOUNDS = [
    # slots, lower bound, plain dispatch; ms at a speed-up of 1000
    ("helloworld-chain-5-chameleon", 4, 501.2, 501.2),
    ("helloworld-chain-5-chameleon", 16, 501.2, 501.2),
    ("cutandrun-dirt02-001", 4, 317.0, 329.3),
    ("cutandrun-dirt02-001", 16, 317.0, 317.0),
    ("epigenomics-chameleon-hep-2seq-50k-001", 4, 907.9, 966.9),
    ("epigenomics-chameleon-hep-2seq-50k-001", 16, 227.0, 296.1),
    ("blast-chameleon-large-001", 4, 38582.8, 39171.6),
    ("blast-chameleon-large-001", 16, 9645.7, 10424.4),
    ("bwa-chameleon-small-001", 4, 95.0, 156.9),
    ("bwa-chameleon-small-001", 16, 91.4, 102.9),
    ("montage-chameleon-2mass-015d-001", 4, 213.7, 216.2),
    ("montage-chameleon-2mass-015d-001", 16, 53.4, 59.7),
    ("seismology-chameleon-500p-001", 4, 72.0, 74.5),
    ("seismology-chameleon-500p-001", 16, 18.0, 22.4),
    ("1000genome-chameleon-4ch-250k-001", 4, 2971.1, 3017.7),
    ("1000genome-chameleon-4ch-250k-001", 16, 742.8, 836.4),
]

DIAMOND = Instance(
    "diamond",
    "made up",
    (
        Task("last", 1.0, (1, 2)),
        Task("left", 2.0, (3,)),
        Task("right", 3.0, (3,)),
        Task("first", 4.0, ()),
    ),
)


def instance(name: str) -> Instance:
    """Loads one of the instances in the folder."""
    return load(FOLDER / f"{name}.json")


def wfformat(*tasks: tuple[str, float, list[str]]) -> str:
    """Writes an original file with just what is read of it."""
    specified = [{"id": t, "name": "x", "parents": parents} for t, _, parents in tasks]
    executed = [{"id": t, "runtimeInSeconds": s} for t, s, _ in reversed(tasks)]
    workflow = {
        "specification": {"tasks": specified},
        "execution": {"tasks": executed},
    }
    return json.dumps({"name": "made up", "workflow": workflow})


class TestInstances:
    """Recorded runs, compact and original."""

    def test_the_folder_holds_the_eight(self) -> None:
        """No instance is missing, none came in unnoticed."""
        assert {file.stem for file in FILES} == set(SHAPES)

    @pytest.mark.parametrize("name", SHAPES)
    def test_an_instance_has_the_recorded_tasks_and_edges(self, name: str) -> None:
        """Counts and sums are those of the collection's table."""
        tasks = instance(name).tasks
        edges = sum(len(task.parents) for task in tasks)
        found = bound(instance(name), 1, 1.0)
        count, edge_count, critical_s, sum_s = SHAPES[name]
        assert (len(tasks), edges) == (count, edge_count)
        assert found.critical_path_ms == pytest.approx(critical_s * 1000, abs=1)
        assert found.sum_ms == pytest.approx(sum_s * 1000, abs=1)

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
    def test_a_compact_file_is_what_its_instance_writes(self, file: Path) -> None:
        """Reading and writing again changes nothing, and files stay small."""
        text = file.read_text(encoding="utf-8")
        assert to_compact(load(file)) == text
        assert len(text) < 30_000

    def test_an_original_file_becomes_a_compact_one(self, tmp_path: Path) -> None:
        """Ids, order, run times (joined by id) and parents survive the conversion."""
        original = tmp_path / "some-run.json"
        original.write_text(wfformat(("b", 2.5, ["a"]), ("a", 0.0, [])))
        into = tmp_path / "compact"
        assert convert.main(["--into", str(into), str(original)]) == 0
        assert load(into / "some-run.json") == load(original)
        assert load(original) == Instance(
            "some-run", "made up", (Task("b", 2.5, (1,)), Task("a", 0.0, ()))
        )

    @pytest.mark.parametrize(
        "text",
        [
            "[]",
            "not json",
            "{}",
            wfformat(("a", 1.0, ["nobody"])),
            wfformat(("a", 1.0, ["b"]), ("b", 1.0, ["a"])),
            '{"name": "n", "source": "s", "tasks": [["a", 1.0, [1]]]}',
            '{"name": "n", "source": "s", "tasks": [["a", 1.0, [-1]]]}',
        ],
    )
    def test_what_is_no_instance_is_refused(self, tmp_path: Path, text: str) -> None:
        """Neither format, an unknown parent, a ring: an InstanceError."""
        file = tmp_path / "bad.json"
        file.write_text(text)
        with pytest.raises(InstanceError):
            load(file)
        assert convert.main(["--into", str(tmp_path / "out"), str(file)]) == 1


class TestBounds:
    """What an engine that costs nothing would need."""

    @pytest.mark.parametrize(("name", "workers", "lower", "greedy"), BOUNDS)
    def test_bounds_are_those_of_the_table(
        self, name: str, workers: int, lower: float, greedy: float
    ) -> None:
        """Lower bound and plain dispatch agree with figures computed elsewhere."""
        found = bound(instance(name), workers, 1000)
        assert found.lower_ms == pytest.approx(lower, abs=0.051)
        assert found.greedy_ms == pytest.approx(greedy, abs=0.051)

    @pytest.mark.parametrize(("name", "workers", "lower", "greedy"), BOUNDS)
    def test_the_readme_says_the_same(
        self, name: str, workers: int, lower: float, greedy: float
    ) -> None:
        """The table in the README is the one that is checked here."""
        readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
        table = readme.partition("## Bounds")[2]
        row = next(line for line in table.splitlines() if f"| `{name}` |" in line)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2 if workers == 4 else 3] == f"{lower} / {greedy}"

    def test_one_slot_needs_the_sum_and_many_the_critical_path(self) -> None:
        """The two ends of the scale."""
        assert bound(DIAMOND, 1, 1.0).greedy_ms == 10_000
        assert bound(DIAMOND, 9, 1.0).greedy_ms == 8_000
        assert bound(DIAMOND, 9, 1.0).lower_ms == 8_000

    def test_what_has_been_ready_longest_goes_first(self) -> None:
        """A task that waits since the start goes before one that stands above it."""
        tasks = (
            Task("child", 10.0, (2,)),
            Task("a", 2.0, ()),
            Task("parent", 1.0, ()),
            Task("b", 4.0, ()),
        )
        # Two slots: a 0-2, parent 0-1, b 1-5, child 2-12. By the list alone: 11.
        assert bound(Instance("t", "t", tasks), 2, 1.0).greedy_ms == 12_000

    @pytest.mark.parametrize(("workers", "speedup"), [(0, 1.0), (1, 0.0), (1, -1.0)])
    def test_nothing_runs_without_slots_or_speed(
        self, workers: int, speedup: float
    ) -> None:
        """Impossible arguments are refused."""
        with pytest.raises(ValueError, match="nothing can run"):
            bound(DIAMOND, workers, speedup)


class TestSubmissions:
    """The plans made of recorded runs."""

    def test_a_step_depends_on_the_steps_of_its_parents(self) -> None:
        """The graph is the recorded one; a parent may stand later in the list."""
        made = wfplans.submission(DIAMOND, 1000)
        steps = made["plan"]["steps"]
        place = {step["id"]: number for number, step in enumerate(steps)}
        depends = [tuple(place[i] for i in step["depends_on"]) for step in steps]
        assert depends == [task.parents for task in DIAMOND.tasks]
        assert steps[1]["payload"] == {"task": "left", "runtime_ms": 2.0}
        assert {step["action"] for step in steps} == {"simulate"}

    def test_derived_step_ids_are_the_same_each_time(self) -> None:
        """They follow from plan id and task: a result can be read back."""
        plan_id = wfplans.submission(DIAMOND, 1)["plan"]["id"]
        first, again = (wfplans.submission(DIAMOND, 1, plan_id=plan_id) for _ in "12")
        assert first["plan"]["steps"] == again["plan"]["steps"]
        assert first["plan"]["steps"][3]["id"] == wfplans.step_id(plan_id, "first")
        assert first["execution_id"] != again["execution_id"]

    def test_step_ids_differ_between_plans_and_when_fresh(self) -> None:
        """No two submissions share a step id by accident."""
        a, b = wfplans.submission(DIAMOND, 1), wfplans.submission(DIAMOND, 1)
        plan_id = a["plan"]["id"]
        c = wfplans.submission(DIAMOND, 1, plan_id=plan_id, step_ids="fresh")
        ids = [step["id"] for made in (a, b, c) for step in made["plan"]["steps"]]
        assert len(set(ids)) == len(ids)

    def test_the_command_prints_a_submission_a_line(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """`--count` submissions with ids of their own and the action asked for."""
        file = str(FOLDER / "helloworld-chain-5-chameleon.json")
        arguments = [file, "--speedup", "100", "--count", "3", "--action", "noop"]
        assert wfplans.main(arguments) == 0
        made = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len({one["plan"]["id"] for one in made}) == 3
        assert made[0]["plan"]["steps"][0]["action"] == "noop"
        assert made[0]["plan"]["steps"][0]["payload"]["runtime_ms"] == 1003.76

    def test_the_command_prints_bounds(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """`--bound` answers with the lower bound and the plain dispatch, as JSON."""
        file = str(FOLDER / "montage-chameleon-2mass-015d-001.json")
        arguments = ["--bound", file, "--workers", "4", "--speedup", "1000"]
        assert wfplans.main(arguments) == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["lower_ms"], printed["greedy_ms"]) == (213.717, 216.218)

    def test_a_plan_has_between_one_and_1024_steps(self) -> None:
        """What cannot be a plan is refused before it is sent (§1)."""
        for count in (0, 1025):
            many = Instance(
                "n", "n", tuple(Task(str(i), 0.0, ()) for i in range(count))
            )
            with pytest.raises(InstanceError, match=f"{count} tasks"):
                wfplans.submission(many, 1)
