import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from typer.testing import CliRunner

from streams.cli import app
from streams.config import Settings
from tests.conftest import Broker
from tests.integration.system import System
from tools import contract_map, docs, settings_map

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
]
CONTRACT = [
    *("§1", "§1.1", "§2", "§3", "§3.1", "§4", "§5", "§5.1", "§5.2", "§5.3"),
    *(f"§6.{number}" for number in range(1, 17)),
    "Refusals",
    *(f"R{number}" for number in range(1, 43)),
]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FILE = re.compile(
    r"`((?:schemas|agents|streams|tests|tools|docs|examples|benchmarks)/[\w./-]+)`"
)
TEST_NAME = re.compile(r"`(?:\w+\.)?(test_\w+)`")


class Block(NamedTuple):
    document: Path
    language: str
    text: str


def blocks(*languages: str) -> Iterator[Block]:
    """Yield the code blocks of all documents, in these languages."""
    for document in DOCUMENTS:
        for language, text in FENCE.findall(document.read_text("utf-8")):
            if language in languages:
                yield Block(document, language, text)


def commands(program: str) -> list[list[str]]:
    """List the uses of a program in the shell blocks, as words without comments."""
    texts = [block.text.replace("\\\n", " ") for block in blocks("sh")]
    lines = chain.from_iterable(text.splitlines() for text in texts)
    used = [shlex.split(line, comments=True) for line in lines]
    return [words for words in used if words and words[0] == program]


def readme(language: str) -> list[str]:
    """List the README's blocks in a language."""
    return [
        block.text
        for block in blocks(language)
        if block.document.name == "README.md" and block.document.parent == ROOT
    ]


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as code hosts make them."""
    headings = HEADING.findall(document.read_text("utf-8"))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def test_what_is_made_from_the_code_is_fresh() -> None:
    """`python -m tools.docs` would change nothing."""
    stale = [str(path.relative_to(ROOT)) for path in docs.stale()]

    assert not stale, f"run python -m tools.docs: {stale}"


def test_every_made_part_has_its_place() -> None:
    """None is made that no document shows, none is asked for that is not made."""
    shown = [docs.parts_of(path.read_text("utf-8")) for path in docs.documents()]

    assert set().union(*shown) == set(docs.PARTS)


def test_a_stale_part_is_noticed() -> None:
    """The check of freshness sees a difference, and only between the markers."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    changed = text.replace("PLANSTREAM_BROKER` |", "PLANSTREAM_BREAKER` |", 1)

    assert changed != text
    assert docs.written(changed) == text


def test_every_rule_of_the_contract_is_listed_once() -> None:
    """§1 to §6.16, the refusals, R1 to R42."""
    listed = [rule.id for group in contract_map.groups() for rule in group.rules]

    assert sorted(listed) == sorted(CONTRACT)


def test_rules_live_where_the_map_says() -> None:
    """Each file exists, and defines each name."""
    nowhere = [
        f"{rule.id}: {path.relative_to(ROOT)}: {name}"
        for group in contract_map.groups()
        for rule in group.rules
        for path, name in contract_map.places(rule)
        if not path.is_file() or name not in contract_map.defined(path)
    ]

    assert not nowhere


def test_what_is_said_to_be_missing_is_missing() -> None:
    """When the file is there that a rule waits for, the map must say something else."""
    rules = [rule for group in contract_map.groups() for rule in group.rules]
    waiting = [(each.id, each.until) for each in rules]
    waiting += [(each.id, each.until) for each in contract_map.findings()]
    built = [
        f"{name}: {until} exists, and docs/rules.toml calls it missing"
        for name, until in waiting
        if until and (ROOT / until).exists()
    ]

    assert not built


def test_every_rule_has_something_that_shows_it() -> None:
    """A test that cites it, or a conformance case: without, a rule is a claim."""
    rules = [rule for group in contract_map.groups() for rule in group.rules]
    cited = contract_map.tests_by_rule(rule.id for rule in rules)
    cases = contract_map.cases_by_rule()
    claims = [
        rule.id for rule in rules if not cited.get(rule.id) and rule.id not in cases
    ]

    assert not claims
    assert all(rule.lives for rule in rules)
    assert set(cases) <= set(CONTRACT)


# These may only become fewer.
OFF_THE_WIRE = {
    "R13": "which of a limit and a last outcome was folded first shows nowhere outside",
    "R15": "is about crashes: the second run in tests/conformance has one",
    "R16": "that it is one transaction shows in what a crash leaves alone",
    "R33": "as R13: what had arrived when a limit fired shows nowhere outside",
}
OPEN_FINDINGS: set[str] = set()


def test_every_rule_is_shown_on_the_wire() -> None:
    """But for those that show nowhere outside, each with its reason."""
    off = set(CONTRACT) - set(contract_map.cases_by_rule())

    assert off == set(OFF_THE_WIRE)


def test_every_finding_of_the_audit_is_closed() -> None:
    """With tests or cases of its own or of its rules; the open ones are listed."""
    findings = contract_map.findings()
    ids = [*(f"F{n}" for n in range(1, 16)), *(f"U{n}" for n in range(1, 5))]
    assert [each.id for each in findings] == ids

    assert {each.id for each in findings if each.open} == OPEN_FINDINGS
    assert all(each.until for each in findings if each.open)
    cited = contract_map.tests_by_rule(ids)
    cases = contract_map.cases_by_rule()
    unshown = [
        each.id
        for each in findings
        if not cited.get(each.id) and not any(rule in cases for rule in each.rules)
    ]
    assert not unshown
    assert {rule for each in findings for rule in each.rules} <= set(CONTRACT)


@pytest.mark.parametrize(
    ("cited", "rule"),
    [("§5.1.5", "§5.1"), ("§5.0", "§5"), ("R17", "R17"), ("§6", None), ("R99", None)],
)
def test_a_citation_belongs_to_the_nearest_rule(cited: str, rule: str | None) -> None:
    """A number below a rule's is the rule's; an unknown one is nobody's."""
    assert contract_map.rule_of(cited, set(CONTRACT)) == rule


def test_every_setting_is_described() -> None:
    """Each once, in some section, with words."""
    rows = list(chain.from_iterable(settings_map.sections().values()))

    assert len(rows) == len(Settings.model_fields)
    assert all(row.what and row.default for row in rows)


def test_links_lead_somewhere() -> None:
    """To files that exist, and headings in them."""
    broken = []
    for document in DOCUMENTS:
        for link in LINK.findall(document.read_text("utf-8")):
            if link.startswith("https://"):
                continue
            name, _, anchor = link.partition("#")
            target = (document.parent / name).resolve() if name else document
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{document.relative_to(ROOT)}: {link}")

    assert not broken


def test_files_and_tests_that_are_named_exist() -> None:
    """Paths from the root in code quotes, and names of tests."""
    sources = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")]
    known = set(re.findall(r"def (test_\w+)", "\n".join(sources)))
    known |= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    wrong = []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        wrong += [name for name in FILE.findall(text) if not (ROOT / name).exists()]
        wrong += [name for name in TEST_NAME.findall(text) if name not in known]

    assert not wrong


@pytest.mark.parametrize("words", commands("planstream"), ids=shlex.join)
def test_printed_commands_exist(words: list[str]) -> None:
    """With the options that they are printed with; `--help` of each works."""
    command: Any = typer.main.get_command(app)
    path, arguments = [], words[1:]
    while hasattr(command, "commands") and arguments:
        path.append(arguments.pop(0))
        command = command.commands.get(path[-1])
        assert command is not None, words

    known = set(chain.from_iterable(param.opts for param in command.params))
    assert {word for word in arguments if word.startswith("-")} <= known
    assert CliRunner().invoke(app, [*path, "--help"]).exit_code == 0


def test_printed_make_targets_exist() -> None:
    """`make demo`, `make test`, and whatever else is printed."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([\w-]+):", makefile, re.MULTILINE)
    printed = {words[1] for words in commands("make")}

    assert {"demo", "test"} <= printed <= set(targets)


def test_printed_modules_can_be_run() -> None:
    """What stands behind `python -m`."""
    names = {words[2] for words in commands("python") if words[1] == "-m"}
    files = {ROOT.joinpath(*name.split(".")) for name in names}
    missing = [
        str(path)
        for path in files
        if not path.with_suffix(".py").is_file()
        and not (path / "__main__.py").is_file()
    ]

    assert names
    assert not missing


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Write the files of the README's quick start."""
    handler, client = readme("python")
    (plan,) = readme("json")
    (tmp_path / "shop.py").write_text(handler, "utf-8")
    (tmp_path / "order.py").write_text(client, "utf-8")
    (tmp_path / "order.json").write_text(plan, "utf-8")
    return tmp_path


def run(directory: Path, *arguments: str, **environment: str) -> str:
    """Run Python in a directory; return what it printed."""
    path = os.pathsep.join((str(ROOT), str(directory)))
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_printed_plan_is_valid(shop: Path) -> None:
    """Once what `--fill` fills in is there."""
    said = run(shop, "-m", "streams", "validate", "--fill", "--json", "order.json")

    assert json.loads(said)["valid"] is True


def test_the_printed_test_of_a_handler_passes(shop: Path) -> None:
    """docs/handlers.md tests the README's handler."""
    (text,) = [
        block.text for block in blocks("python") if block.document.name == "handlers.md"
    ]

    run(shop, "-c", text)


def test_the_quick_start_works(
    kafka: Broker, topic_prefix: str, shop: Path, tmp_path: Path
) -> None:
    """The README's handler, plan, command and client, as they are printed."""
    path = os.pathsep.join((str(ROOT), str(shop)))

    async def scenario() -> None:
        system = System(kafka.bootstrap, topic_prefix, tmp_path)
        environment = {**system.environment, "PYTHONPATH": path}
        system.environment = environment
        try:
            await system.start("shop")
            submit = ("-m", "streams", "submit", "--fill", "--watch", "order.json")
            said = await asyncio.to_thread(run, shop, *submit, **environment)
            assert said.startswith("success")
            said = await asyncio.to_thread(run, shop, "order.py", **environment)
            assert said == 'success "A-1 by pigeon"\n'
            watch = ("-m", "streams", "watch", "--since", "1h", "--limit", "2")
            said = await asyncio.to_thread(run, shop, *watch, **environment)
            assert said.count("success") == 2
        finally:
            await system.stop()

    asyncio.run(scenario())
