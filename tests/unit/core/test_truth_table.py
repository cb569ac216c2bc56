"""The table in docs/guarantees.md, which is what the core itself answers."""

from __future__ import annotations

import pytest

from tools.truth_table import CASES, Case, verdict


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.happens)
def test_partial_needs_a_completed_and_a_failed_step(case: Case) -> None:
    """§5.1–§5.3: success is all and no error, partial some, a failure's is fatal."""
    found = verdict(case)

    assert (found.status == "success") == (found.executed == found.total)
    assert (found.status == "success") == (not found.error)
    if found.status == "partial":
        assert 1 <= found.executed < found.total
    if found.status == "failure":
        assert "(fatal)" in found.error.split(" ← ")[0]


def test_every_way_to_end_is_in_the_table() -> None:
    """All three statuses are shown, and each policy."""
    assert {verdict(case).status for case in CASES} == {"success", "partial", "failure"}
    policies = " ".join(case.policy for case in CASES)
    assert all(f"`{policy}`" in policies for policy in ("retry", "skip", "halt"))
