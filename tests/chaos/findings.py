"""What was found to be wrong, by the invariant that it breaks."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

EXAMPLES = 40


class Invariant(StrEnum):
    """The promises (docs: what is promised), each with what it says."""

    LOST = "I1: what was acknowledged has a result or a dead letter"
    DUPLICATED = "I1: there is one result for each plan, and no more"
    LETTERS = "I1: there is one dead letter for each refused record, and no other"
    TRUE = "I2: status, counts and payload agree with what steps returned"
    TRACES = "I2: audits, events and halts come with results"
    ORDER = "I3: no step began before its dependencies completed"
    WHOLE = "I4: each step of a successful plan completed"
    STUCK = "I5: no plan is without its result after its deadline and a takeover"
    POSITIONS = "I6: positions reach the end of every input"
    ROWS = "I7: no rows are left but those of the registry"
    FAULTS = "all faults of the schedule were carried out"
    EXITS = "processes stop in good order, and positions always fit"


class Findings:
    """Counts every break of an invariant, and keeps some of each."""

    def __init__(self) -> None:
        self.looked: Counter[Invariant] = Counter()
        """How often each invariant was looked at."""
        self.broken: Counter[Invariant] = Counter()
        self.examples: list[str] = []

    def check(self, invariant: Invariant, holds: bool, otherwise: str) -> None:
        """Note whether an invariant holds in one case."""
        self.looked[invariant] += 1
        if not holds:
            self.note(invariant, otherwise)

    def note(self, invariant: Invariant, what: str) -> None:
        """Note a break."""
        self.broken[invariant] += 1
        if self.broken[invariant] <= EXAMPLES:
            self.examples.append(f"{invariant.value[:2]} {invariant.name}: {what}")
