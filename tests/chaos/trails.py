"""What workers told of steps, as far as the checks need it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from schemas import codec
from schemas.decode_error import DecodeError
from schemas.steps import ChildEnded, StepFailed, StepStarted, StepSucceeded, StepWarned
from tests.chaos.foreign import FORGED, header
from tests.integration.invariants import OUTCOMES

SKEWED = "skewed"
"""In the names of processes whose clocks are stepped."""


@dataclass(slots=True)
class StepTrail:
    """What was told of one step: a few numbers, as there are many steps."""

    told_at: int
    """The offset of what was told of it first."""
    began: int | None = None
    """When the first of its attempts began, Unix ms, by clocks that are not stepped."""
    completed: int | None = None
    """When the first that succeeded ended; None if any of them did by a clock that is
    stepped, for which of them counted is not known."""
    is_timed: bool = True
    completed_at: int | None = None
    """The offset of its first success."""
    returned: tuple[int, ...] = ()
    """Hashes of what its runs returned; a crash may have made the first one void."""
    failures: int = 0


class Trails:
    """The trails of all steps, from the outcomes topic."""

    def __init__(self) -> None:
        self.steps: dict[str, StepTrail] = {}
        self.kinds: Counter[str] = Counter()
        self.unreadable: set[tuple[str, int, int]] = set()

    def take(self, record: Any) -> None:
        """Note one record; what strangers forged or repeated tells nothing."""
        try:
            model, fields = codec.decode_fields(record.value, *OUTCOMES)
        except DecodeError:
            self.unreadable.add((record.topic, record.partition, record.offset))
            return
        if header(record, FORGED) is not None:
            self.kinds["forged or repeated"] += 1
            return
        self.kinds[model.__name__] += 1
        if model is not StepWarned:
            self._note(record.offset, model, fields)

    def _note(self, offset: int, model: type, fields: dict[str, Any]) -> None:
        trail = self.steps.get(fields["step_id"])
        if trail is None:
            trail = self.steps[fields["step_id"]] = StepTrail(offset)
        if model is StepStarted or model is StepSucceeded or model is StepFailed:
            _note_times(trail, model, fields)
        is_success = model is StepSucceeded or (
            model is ChildEnded and fields["error"] is None
        )
        if not is_success:
            trail.failures += model is not StepStarted
            return
        if trail.completed_at is None:
            trail.completed_at = offset
        if (value := hash(fields["result"])) not in trail.returned:
            trail.returned += (value,)


def _note_times(trail: StepTrail, model: type, fields: dict[str, Any]) -> None:
    is_true = SKEWED not in fields["worker"]
    if is_true:
        trail.began = _earlier(trail.began, fields["started_at"])
    if model is StepSucceeded:
        trail.is_timed = trail.is_timed and is_true
        ended = _earlier(trail.completed, fields["ended_at"])
        trail.completed = ended if trail.is_timed else None


def _earlier(known: int | None, instant: int) -> int:
    return instant if known is None else min(known, instant)
