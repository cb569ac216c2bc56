"""Turns recorded workflows into submissions, a task a step.

    python -m examples.wfcommons.wfplans FILE --speedup 1000 --count 10
    python -m examples.wfcommons.wfplans --bound FILE --workers 16 --speedup 1000

The first prints one submission a line, as JSON; the second prints what an engine
that costs nothing would need. FILE is a compact instance, or an original one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from examples.wfcommons.bounds import Bound, bound, runtime_ms
from examples.wfcommons.instance import Instance, InstanceError, Task, load

__all__ = ["Bound", "Instance", "Task", "bound", "load", "step_id", "submission"]

MAX_STEPS = 1024
"""A plan has no more (§1)."""

StepIds = Literal["derived", "fresh"]


def step_id(plan_id: str, task: str) -> str:
    """Derives a task's step id, the same one each time (any 122 bits will do)."""
    digest = hashlib.sha256(f"{plan_id}/{task}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def submission(
    instance: Instance,
    speedup: float,
    *,
    action: str = "simulate",
    plan_id: str | None = None,
    step_ids: StepIds = "derived",
    timeout_ms: int = 300_000,
    now_ms: int | None = None,
) -> dict[str, Any]:
    """Makes one submission of an instance.

    Args:
        instance: The recorded run.
        speedup: How much faster than recorded the steps shall run.
        action: The action of every step.
        plan_id: The plan's id; a fresh one when not given.
        step_ids: Whether step ids are derived from plan id and task, or fresh.
        timeout_ms: The plan's limit, and the distance of its deadline.
        now_ms: When it starts, Unix ms; now when not given.

    Returns:
        A JSON object for the plans topic; each step's payload is
        `{"task": <id>, "runtime_ms": <recorded run time / speedup>}`.

    Raises:
        InstanceError: the instance has no tasks, or more than a plan may have.
    """
    if not 1 <= len(instance.tasks) <= MAX_STEPS:
        raise InstanceError(f"{instance.name}: {len(instance.tasks)} tasks in a plan")
    plan_id = plan_id or str(uuid.uuid4())
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    ids = _step_ids(instance, plan_id, step_ids)
    return {
        "plan": {
            "id": plan_id,
            "version": 1,
            "created_at": now_ms,
            "name": instance.name,
            "context_requirements": ["instance"],
            "timeout_ms": timeout_ms,
            "steps": [
                _step(task, ids, number, speedup, action)
                for number, task in enumerate(instance.tasks)
            ],
        },
        "execution_id": str(uuid.uuid4()),
        "started_at": now_ms,
        "deadline_ms": now_ms + timeout_ms,
        "environment": {"instance": instance.name},
    }


def _step_ids(instance: Instance, plan_id: str, step_ids: StepIds) -> list[str]:
    if step_ids == "fresh":
        return [str(uuid.uuid4()) for _ in instance.tasks]
    return [step_id(plan_id, task.id) for task in instance.tasks]


def _step(
    task: Task, ids: list[str], number: int, speedup: float, action: str
) -> dict[str, Any]:
    return {
        "id": ids[number],
        "action": action,
        "payload": {"task": task.id, "runtime_ms": runtime_ms(task, speedup)},
        "depends_on": [ids[parent] for parent in task.parents],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints submissions, or bounds."""
    options = _parser().parse_args(arguments)
    try:
        instance = load(options.file)
        if options.bound:
            print(_bound_line(instance, options))
        else:
            _print_submissions(instance, options)
    except (ValueError, OSError) as error:
        print(f"wfplans: {error}", file=sys.stderr)
        return 1
    return 0


def _bound_line(instance: Instance, options: argparse.Namespace) -> str:
    facts = {
        "instance": instance.name,
        "tasks": len(instance.tasks),
        "workers": options.workers,
        "speedup": options.speedup,
    }
    found = asdict(bound(instance, options.workers, options.speedup))
    return json.dumps(facts | found)


def _print_submissions(instance: Instance, options: argparse.Namespace) -> None:
    for _ in range(options.count):
        made = submission(
            instance,
            options.speedup,
            action=options.action,
            step_ids=options.step_ids,
            timeout_ms=options.timeout_ms,
        )
        print(json.dumps(made, separators=(",", ":")))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wfplans",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--speedup", type=_positive, default=1000.0, metavar="S")
    parser.add_argument("--bound", action="store_true", help="print the bounds")
    parser.add_argument("--workers", type=int, default=16, metavar="W")
    parser.add_argument("--count", type=int, default=1, help="how many submissions")
    parser.add_argument("--action", default="simulate")
    parser.add_argument("--step-ids", choices=("derived", "fresh"), default="derived")
    parser.add_argument("--timeout-ms", type=int, default=300_000)
    return parser


if __name__ == "__main__":
    sys.exit(main())
