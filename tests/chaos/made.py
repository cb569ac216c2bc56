"""What is known of a plan of the load: its steps, and how it must end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.results import Status
from tests.integration.plans import MARGIN_MS

Step = dict[str, Any]
Plan = dict[str, Any]


class Ending(NamedTuple):
    """How a plan must end, whatever happens around it.

    Attributes:
        completed: How many steps complete; None when that is a matter of luck.
        codes: The codes that its error may have; none when there is no error.
    """

    status: Status
    completed: int | None = None
    codes: tuple[str, ...] = ()


class Draft(NamedTuple):
    """A submission, and how it and the plans in it must end."""

    submission: dict[str, Any]
    ending: Ending
    children: tuple[tuple[Plan, Ending], ...] = ()
    padding: int = 0
    """Bytes of blanks after the submission, to make it too large."""


class Place(NamedTuple):
    """Where on the plans topic a submission lies."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Made:
    """What is kept of a submission: there are tens of thousands.

    Attributes:
        steps: The ids of its steps, in their order.
        needs: For each step, the places of those that it depends on.
        at_ms: When it was made, Unix ms.
        deadline_ms: When it must have ended.
        parent: The plan that executes it, if one does.
    """

    kind: str
    plan_id: str
    execution_id: str
    steps: tuple[str, ...]
    needs: tuple[tuple[int, ...], ...]
    ending: Ending
    at_ms: int
    deadline_ms: int
    parent: str | None = None


def known(kind: str, draft: Draft, at_ms: int) -> Iterator[Made]:
    """What is to be kept of a draft: its plan first, then those in it."""
    submission = draft.submission
    plan_id = submission["plan"]["id"]
    # Neither a deadline that passed before nor one of a wrong clock says when.
    limit_ms = at_ms + submission["plan"]["timeout_ms"] + MARGIN_MS
    deadline_ms = max(at_ms, min(submission["deadline_ms"], limit_ms))
    yield Made(
        *(kind, plan_id, submission["execution_id"], *_graph(submission["plan"])),
        *(draft.ending, at_ms, deadline_ms),
    )
    for plan, ending in draft.children:
        yield Made(
            *(f"{kind}: child", plan["id"], "", *_graph(plan)),
            *(ending, at_ms, deadline_ms, plan_id),
        )


def _graph(plan: Plan) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    ids = tuple(each["id"] for each in plan["steps"])
    places = {step_id: place for place, step_id in enumerate(ids)}
    needs = tuple(
        tuple(places[needed] for needed in each["depends_on"]) for each in plan["steps"]
    )
    return ids, needs
