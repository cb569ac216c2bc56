"""Writes the parts of docs/ that follow from the code, between their markers.

python -m tools.docs           # write them
python -m tools.docs --check   # say which are stale; exits with 1 if any is
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from agents.core.states import mermaid, plan_mermaid
from streams.cli_output import ExitCode
from streams.config import Settings
from streams.runtime.exits import EXIT_IN_DOUBT, EXIT_MISFIT
from streams.topics import Requirement, Rule, Topic, Topics
from tools.contract_map import (
    ROOT,
    Finding,
    Test,
    cases_by_rule,
    findings,
    groups,
    tests_by_rule,
)
from tools.contract_map import Rule as ContractRule
from tools.settings_map import sections
from tools.truth_table import rows as ending_rows

DOCS = ROOT / "docs"
_PART = re.compile(
    r"(?P<begin><!-- made by tools/docs.py: (?P<name>[\w-]+) -->\n)"
    r".*?(?P<end><!-- end: (?P=name) -->\n)",
    re.DOTALL,
)


def topics() -> str:
    """The table of topics, with the names and numbers of the default settings."""
    rows = [_topic_row(topic) for topic in Topics.of(Settings.model_construct()).all()]
    return _table("Topic | Key | Values | Partitions | Configuration", rows)


def _topic_row(topic: Topic) -> str:
    values = ", ".join(model.__name__ for model in topic.values) or "bytes"
    needs = ", ".join(_needs(each) for each in topic.requirements)
    cells = (f"`{topic.name}`", topic.key, values, str(topic.partitions), needs)
    return " | ".join(cells)


_SIGNS = {Rule.EXACTLY: "=", Rule.AT_LEAST: " ≥ ", Rule.AT_MOST: " ≤ "}


def _needs(requirement: Requirement) -> str:
    if requirement.rule is Rule.FREE:
        return f"`{requirement.name}={requirement.value}` at first"
    return f"`{requirement.name}{_SIGNS[requirement.rule]}{requirement.value}`"


def endings() -> str:
    """How plans end, as the core says."""
    head = "Steps | `on_failure` | What happens | Result | Executed | Error"
    return _table(head, list(ending_rows()))


def step_states() -> str:
    """The life of a step."""
    return f"```mermaid\n{mermaid()}```\n"


def plan_states() -> str:
    """The life of a plan."""
    return f"```mermaid\n{plan_mermaid()}```\n"


def settings() -> str:
    """All settings by section, with defaults and what they are for."""
    parts = []
    for title, rows in sections().items():
        lines = [f"`{name}` | {default} | {what}" for name, default, what in rows]
        table = _table("Variable | Default | What it is", lines)
        parts.append(f"**{title}**\n\n{table}")
    return "\n".join(parts)


_SAYS = {
    ExitCode.OK: "All is well.",
    ExitCode.NOT_SUCCESS: "Violations, or an outcome that is no success.",
    ExitCode.USAGE: "Wrong usage, settings or handlers; a file cannot be read.",
    ExitCode.BROKER: "No broker answers, or the embedded one does not start.",
    ExitCode.TOPICS: "Topics are missing, or not as they must be.",
    ExitCode.NO_RESULT: "No result in the time given.",
    ExitCode.UNKNOWN: "Every coordinator was asked, and none knows the plan.",
    ExitCode.OWNER_AWAY: "Not all coordinators answered, or not all workers.",
    ExitCode.INTERRUPTED: "Interrupted.",
}
_WORKERS_SAY: Mapping[int | str, str] = {
    0: "It was told to stop, and everything it had folded or answered is committed.",
    1: "One of its services failed; the log says which.",
    EXIT_IN_DOUBT: "It cannot know what is committed, or cannot go on: start it again.",
    EXIT_MISFIT: "Positions do not fit the logs: see below. Starting again won't help.",
    "128 + n": "Signal n came a second time, and stopped it at once.",
}


def exit_codes() -> str:
    """What commands exit with."""
    rows = [f"{code.value} | {_SAYS[code]}" for code in ExitCode]
    return _table("Code | Meaning", rows)


def worker_exit_codes() -> str:
    """What coordinators and workers exit with, besides those of all commands."""
    rows = [f"{code} | {what}" for code, what in _WORKERS_SAY.items()]
    return _table("Code | Meaning", rows)


def contract() -> str:
    """Every rule, where it lives, and the tests that cite it."""
    every = groups()
    found = tests_by_rule(rule.id for group in every for rule in group.rules)
    parts = []
    for group in every:
        rules = [_rule(rule, found.get(rule.id, [])) for rule in group.rules]
        parts.append(f"## {group.title}\n\n" + "\n".join(rules))
    return "\n".join(parts)


def _rule(rule: ContractRule, tests: list[Test]) -> str:
    lives = "; ".join(_code(place) for place in rule.lives)
    lines = [f"**{rule.id}** {rule.says}\n", f"- lives in {lives}"]
    if rule.missing:
        lines.append(f"- missing: {rule.missing}")
    cases = cases_by_rule().get(rule.id, ())
    if cases:
        lines.append(f"- on the wire: {_cases(cases)}")
    if not tests and not cases:
        lines.append("- **nothing shows it**")
    for file, of_file in groupby(tests, key=lambda test: test.file):
        names = ", ".join(f"`{test.name}`" for test in of_file)
        lines.append(f"- `{file}`: {names}")
    return "\n".join(lines) + "\n"


SHOWN_CASES = 4


def _cases(names: tuple[str, ...]) -> str:
    """The first cases by name, and how many there are."""
    shown = "; ".join(names[:SHOWN_CASES])
    count = f"{len(names)} case{'s' * (len(names) > 1)}"
    more = " …" if len(names) > SHOWN_CASES else ""
    return f"{count}: {shown}{more}"


def audit() -> str:
    """The findings of the audit, with what shows that they are closed."""
    every = findings()
    cited = tests_by_rule(
        [
            *(finding.id for finding in every),
            *(rule.id for group in groups() for rule in group.rules),
        ]
    )
    rows = [_finding(each, cited) for each in every]
    return _table("Finding | Closed when | Status | Evidence", rows)


def _finding(finding: Finding, cited: Mapping[str, list[Test]]) -> str:
    cases = {case for rule in finding.rules for case in cases_by_rule().get(rule, ())}
    tests = {
        test for name in (finding.id, *finding.rules) for test in cited.get(name, ())
    }
    status = f"open: {finding.open}" if finding.open else "compliant"
    rules = f", of {', '.join(finding.rules)}" if finding.rules else ""
    direct = cited.get(finding.id, [])
    example = f"; `{direct[0].name}`" if direct else ""
    evidence = f"{len(tests)} tests, {len(cases)} cases{rules}{example}"
    cells = (f"**{finding.id}** {finding.says}", finding.closed, status, evidence)
    return " | ".join(cells)


def _code(place: str) -> str:
    file, _, names = place.partition(": ")
    return f"`{file}` ({', '.join(f'`{name}`' for name in names.split(', '))})"


def gaps() -> str:
    """What is missing, and the rules that nothing shows."""
    rules = [rule for group in groups() for rule in group.rules]
    found, cases = tests_by_rule(rule.id for rule in rules), cases_by_rule()
    unshown = [
        rule.id for rule in rules if not found.get(rule.id) and rule.id not in cases
    ]
    lines = [f"- {rule.id}: {rule.missing}." for rule in rules if rule.missing]
    lines += [f"- {each.id}: {each.open}." for each in findings() if each.open]
    cited = sum(bool(found.get(rule.id)) for rule in rules)
    wired = sum(rule.id in cases for rule in rules)
    shown = len(rules) - len(unshown)
    lines.append(
        f"- {shown} of {len(rules)} rules are shown: {cited} by tests that cite them, "
        f"{wired} by conformance cases."
    )
    if unshown:
        lines.append(f"- Nothing shows {', '.join(unshown)}.")
    return "\n".join(lines) + "\n"


PARTS: Mapping[str, Callable[[], str]] = {
    "topics": topics,
    "endings": endings,
    "step-states": step_states,
    "plan-states": plan_states,
    "settings": settings,
    "exit-codes": exit_codes,
    "worker-exit-codes": worker_exit_codes,
    "contract": contract,
    "audit": audit,
    "gaps": gaps,
}


def _table(head: str, rows: list[str]) -> str:
    rule = " | ".join("---" for _ in head.split("|"))
    return "".join(f"| {row} |\n" for row in (head, rule, *rows))


def written(text: str) -> str:
    """A document with all of its made parts made anew."""

    def make(found: re.Match[str]) -> str:
        return f"{found['begin']}{PARTS[found['name']]()}{found['end']}"

    return _PART.sub(make, text)


def parts_of(text: str) -> set[str]:
    """The names of the made parts in a document."""
    return {found["name"] for found in _PART.finditer(text)}


def documents() -> Iterator[Path]:
    """All that may have made parts."""
    yield from sorted(DOCS.rglob("*.md"))


def stale() -> list[Path]:
    """The documents that do not say what the code says."""
    texts = {path: path.read_text("utf-8") for path in documents()}
    return [path for path, text in texts.items() if written(text) != text]


def main(arguments: list[str]) -> int:
    """Write, or check; return the exit code."""
    found = stale()
    for path in found:
        print(path.relative_to(ROOT))
        if "--check" not in arguments:
            path.write_text(written(path.read_text("utf-8")), "utf-8")
    return 1 if found and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
