"""A recorded workflow: its tasks, what they waited for, and how long they took."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class InstanceError(ValueError):
    """A file is no workflow instance that can be a plan."""


@dataclass(frozen=True)
class Task:
    """One task of a recorded run."""

    id: str
    runtime_s: float
    parents: tuple[int, ...]
    """Places, in the instance's list, of the tasks that this one waited for."""


@dataclass(frozen=True)
class Instance:
    """One recorded run of a workflow, its tasks in the order of the source."""

    name: str
    source: str
    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        """Refuses what has no topological order, or a parent that is not there."""
        self.order()

    def children(self) -> list[list[int]]:
        """Lists, for each task, the tasks that wait for it."""
        children: list[list[int]] = [[] for _ in self.tasks]
        for number, task in enumerate(self.tasks):
            for parent in task.parents:
                if not 0 <= parent < len(self.tasks):
                    raise InstanceError(f"{self.name}: {task.id} has parent {parent}")
                children[parent].append(number)
        return children

    def order(self) -> list[int]:
        """Lists the tasks' places, parents always before children."""
        children = self.children()
        missing = [len(task.parents) for task in self.tasks]
        order = [number for number, count in enumerate(missing) if count == 0]
        for number in order:  # grows while it is walked through
            for child in children[number]:
                missing[child] -= 1
                if missing[child] == 0:
                    order.append(child)
        if len(order) < len(self.tasks):
            raise InstanceError(f"{self.name}: its tasks wait for each other in a ring")
        return order


def load(path: str | Path) -> Instance:
    """Reads an instance, from a compact file or an original WfFormat 1.5 one.

    Raises:
        InstanceError: the file is neither, or its graph is no DAG.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        read = _from_wfformat if "workflow" in document else _from_compact
        return read(path.stem, document)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, InstanceError):
            raise
        raise InstanceError(f"{path.name}: {error!r}") from error


def to_compact(instance: Instance) -> str:
    """Writes an instance as compact JSON, one task a line: id, seconds, parents."""
    tasks = ",\n".join(
        json.dumps([task.id, task.runtime_s, task.parents], separators=(",", ":"))
        for task in instance.tasks
    )
    name, source = json.dumps(instance.name), json.dumps(instance.source)
    return f'{{"name": {name},\n"source": {source},\n"tasks": [\n{tasks}\n]}}\n'


def _from_compact(_stem: str, document: Mapping[str, Any]) -> Instance:
    tasks = tuple(
        Task(str(task), float(runtime), tuple(parents))
        for task, runtime, parents in document["tasks"]
    )
    return Instance(document["name"], document["source"], tasks)


def _from_wfformat(stem: str, document: Mapping[str, Any]) -> Instance:
    """Takes the three facts a plan needs; `name` is not unique, so the stem is it."""
    specified: Sequence[Any] = document["workflow"]["specification"]["tasks"]
    executed = document["workflow"]["execution"]["tasks"]
    runtimes = {task["id"]: float(task["runtimeInSeconds"]) for task in executed}
    places = {task["id"]: place for place, task in enumerate(specified)}
    tasks = tuple(
        Task(
            id=task["id"],
            runtime_s=runtimes[task["id"]],
            parents=tuple(places[parent] for parent in task["parents"]),
        )
        for task in specified
    )
    return Instance(stem, document["name"], tasks)
