"""Keeps account of what was thrown: each record ends, and is seen to end."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from schemas import codec
from schemas.codec import DecodeError
from tests.fuzz.shots import NUMBER, OUTCOMES, Shot


class Account:
    """What was thrown, and what came of it.

    Of the records that submit one plan, one gets a result, or none; all others become
    dead letters. Of the outcomes those that cannot be read become dead letters.
    """

    def __init__(self) -> None:
        self.thrown = 0
        self.results: Counter[str] = Counter()
        self.letters: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self.unreadable: set[int] = set()
        """Outcomes that no decoder takes: each must become a dead letter."""
        self.readable: set[int] = set()
        self._plans: dict[str, set[int]] = defaultdict(set)
        self._plan_of: dict[int, str] = {}
        self._pending: set[int] = set()
        """Submissions that have not ended; one of each plan with a result stays not."""

    @property
    def pending(self) -> int:
        """How many records have not ended yet."""
        return len(self._pending)

    def throw(self, shot: Shot) -> None:
        """Take down what is thrown."""
        self.thrown += 1
        if shot.topic == "plans":
            self._pending.add(shot.number)
            plan_id = shot.plan_id
            if plan_id is not None:
                self._plans[plan_id].add(shot.number)
                self._plan_of[shot.number] = plan_id
                self._settle(plan_id)
        elif is_outcome(shot.value):
            self.readable.add(shot.number)
        else:
            self.unreadable.add(shot.number)
            self._pending.add(shot.number)

    def result(self, record: Any) -> None:
        """Take down a result, of whichever plan it is."""
        plan_id = record.key.decode()
        self.results[plan_id] += 1
        self._settle(plan_id)

    def letter(self, record: Any) -> None:
        """Take down a dead letter."""
        (first, *_) = (value for name, value in record.headers if name == NUMBER)
        number = int(first)
        self.letters[number] += 1
        # The last one: a record may have come with such a header.
        self.reasons[dict(record.headers)["reason"].decode()] += 1
        self._pending.discard(number)
        if number in self._plan_of:
            self._settle(self._plan_of[number])

    def _settle(self, plan_id: str) -> None:
        """One record of a plan with a result needs no dead letter."""
        left = self._plans[plan_id] - self.letters.keys()
        if len(left) == 1 and self.results[plan_id]:
            self._pending -= left
        else:
            self._pending |= left

    def faults(self) -> list[str]:
        """What is not as it must be, at the end."""
        thrown = self._plans.keys()
        twice = [plan for plan, count in self.results.items() if count > 1]
        wrong = [
            plan
            for plan in thrown
            if len(self._plans[plan] - self.letters.keys()) != self.results[plan]
        ]
        return [
            *(f"record {number} has not ended" for number in sorted(self._pending)),
            *(f"plan {plan} has {self.results[plan]} results" for plan in twice),
            *(f"plan {plan}: not one result or all letters" for plan in wrong),
            *(
                f"record {number} is a dead letter {count} times"
                for number, count in self.letters.items()
                if count > 1
            ),
            *(
                f"outcome {number} can be read, and is a dead letter"
                for number in self.readable & self.letters.keys()
            ),
        ]


def is_outcome(value: bytes | None) -> bool:
    """Whether the bytes are an outcome, of whichever step.

    Of completions only what a fold looks at is judged, not lengths and patterns.
    """
    try:
        model, _ = codec.decode_fields(value, *OUTCOMES)
        if model.__name__ != "StepSucceeded":
            codec.decode(value, *OUTCOMES)
    except DecodeError:
        return False
    return True
