"""What a run says of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.chaos.evidence import Evidence
from tests.chaos.load import Load
from tests.chaos.schedule import Fault
from tests.integration.system import Keeper

BEFORE_MS = 500
AFTER_MS = 3000
"""A silence that begins so long before or after a fault counts as its consequence."""


def report(
    load: Load,
    began: Sequence[tuple[Fault, int]],
    keepers: Sequence[Keeper],
    seen: Evidence,
) -> Iterator[str]:
    """The lines of the report."""
    results = [len(seen.results.get(plan_id, ())) for plan_id in seen.first]
    yield f"plans       {len(seen.first)}; submissions {len(load.acknowledged)}"
    yield f"            unacknowledged {load.unsure}; by kind {dict(load.kinds)}"
    yield f"results     lost {results.count(0)}; repeated {sum(n > 1 for n in results)}"
    aborted = (seen.aborted_results, seen.aborted_rows)
    yield "aborted     {} results, {} rows of the changelog".format(*aborted)
    yield f"letters     {sum(map(len, seen.letters.values()))} of {len(seen.others)}"
    yield f"events      {len(seen.events)} of {sum(map(bool, results))}, best effort"
    yield f"outcomes    {seen.outcomes} of {len(seen.steps)} steps"
    for keeper in keepers:
        codes = dict(Counter(keeper.exits))
        yield f"exits       {keeper.member.log.stem}: {codes}"
    for fault, at in began:
        silent = silence_s(seen, at)
        yield f"fault       {fault}: a partition was silent for {silent:.1f} s"


def silence_s(seen: Evidence, at: int) -> float:
    """The longest time after an instant in which a partition committed nothing."""
    silences = [
        later - earlier
        for times in seen.commits.values()
        for earlier, later in pairwise(times)
        if later > at - BEFORE_MS and earlier < at + AFTER_MS
    ]
    return max(silences, default=0) / 1000
