"""Says what the suite has found: a table by rule, and what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from streams.conformance.running import Verdict

_PLACES = {"§": 0, "R": 2}
"""Sections first, the table of refusals, then the rulings."""


def lines_of(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """A JSON line for each case."""
    for each in verdicts:
        facts = {
            "case": each.case.name,
            "rules": each.case.rules,
            "passed": each.has_passed,
            "faults": each.faults,
            "plan_id": each.case.plan_id,
        }
        yield json.dumps(facts, ensure_ascii=False)


def show(verdicts: Sequence[Verdict], console: Console) -> None:
    """Print the table, the cases that have failed, and the sums."""
    console.print(_table(verdicts))
    for each in verdicts:
        if not each.has_passed:
            rules = " ".join(each.case.rules)
            console.print(f"FAILED  {rules}  {each.case.name}")
            console.print(f"        plan {each.case.plan_id}")
            for fault in each.faults:
                console.print(f"        {fault}")
    console.print(sums(verdicts))


def sums(verdicts: Sequence[Verdict]) -> str:
    """`N passed, N failed`."""
    passed = sum(each.has_passed for each in verdicts)
    return f"{passed} passed, {len(verdicts) - passed} failed"


def in_order(rule: str) -> tuple[int, list[int]]:
    """The place of a rule in the contract, for sorting."""
    numbers = [int(each) for each in re.findall(r"\d+", rule)]
    return (1 if rule == "Refusals" else _PLACES[rule[0]], numbers)


def _table(verdicts: Sequence[Verdict]) -> Table:
    table = Table("rule", "passed", "failed", "cases", box=None)
    rules = {rule for each in verdicts for rule in each.case.rules}
    for rule in sorted(rules, key=in_order):
        cases = [each for each in verdicts if rule in each.case.rules]
        passed = sum(each.has_passed for each in cases)
        failed = len(cases) - passed
        table.add_row(rule, str(passed), str(failed or ""), _examples(cases))
    return table


def _examples(verdicts: Sequence[Verdict]) -> str:
    """The name of a case, and how many more there are."""
    first, *more = [each.case.name for each in verdicts]
    return f"{first}, and {len(more)} more" if more else first
