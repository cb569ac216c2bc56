"""The same in both formats: what lies on the topics, and what pipes carry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.codec import is_avro
from schemas.results import Status
from streams.topics import Topic
from tests.conftest import Broker
from tests.integration.foreign import read_avro, write_avro
from tests.integration.invariants import rows_left
from tests.integration.live import Live, live
from tests.integration.plans import chain, step, submission
from tests.integration.system import ROOT, eventually

TIMEOUT_S = 40
RESULT = {
    "plan_id": str,
    "execution_id": str,
    "status": str,
    "completed_at": int,
    "duration_ms": int,
    "steps_executed": int,
    "steps_total": int,
    "result_payload": dict,
}
SEVERAL = {
    "step-outcomes": {"StepStarted", "StepSucceeded", "StepFailed", "StepWarned"},
    "commands": {"DeadlineFired", "RetryDue"},
}
"""The topics that carry records of several models, and these."""


@pytest.fixture(scope="module", params=["json", "avro"])
def system(
    request: pytest.FixtureRequest,
    kafka: Broker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Live]:
    directory = tmp_path_factory.mktemp(f"formats-{request.param}")
    with live(kafka, directory, format=request.param) as system:
        yield system


def some_of_everything() -> list[dict[str, Any]]:
    """Plans that bring a record of every model about."""
    policy = {
        "max_attempts": 2,
        "backoff_ms": 50,
        "retryable_error_codes": ["FLAKY"],
    }
    flaky = step("flaky", {"succeeds_at": 2}, on_failure="retry")
    slow = step("sleep", {"ms": 9000})
    return [
        submission(*chain(3, big=2**80, odd="ü\u2028")),
        submission(flaky, step("warn"), retry_policy=policy),
        submission(step(), step("fail", on_failure="skip")),
        submission(step("fail")),
        submission(slow, timeout_ms=400),
        submission(step(), version=2),
    ]


def values(system: Live, topic: Topic) -> list[bytes]:
    records = system.run(system.system.read(topic))
    return [record.value for record in records]


def of_format(system: Live, topic: Topic) -> bool:
    """Whether all that planstream itself wrote to a topic is of the format set."""
    written = values(system, topic)
    wants_avro = system.system.settings.format == "avro"
    return written != [] and all(is_avro(value) is wants_avro for value in written)


def test_everything_works_and_is_written_in_the_format(system: Live) -> None:
    """The setting `format` says how each topic is written; input is told by itself."""
    made = some_of_everything()
    trails = system.execute_all(*made)
    assert [trail.result.status.value for trail in trails] == [
        *("success", "success", "partial", "failure", "failure", "failure")
    ]
    as_avro = submission(step())
    key = as_avro["plan"]["id"].encode()
    system.run(system.send(write_avro(as_avro), key))
    trail = system.run(system.ledger.ended(key.decode()))
    assert trail.result.status is Status.SUCCESS
    topics = system.system.topics
    own = (topics.step_outcomes, topics.commands, topics.halts, *topics.results)
    for topic in (*own, topics.audit, topics.events, *topics.requests.values()):
        assert of_format(system, topic), topic.name


def test_records_are_read_without_planstream(system: Live) -> None:
    """Results by plain json.loads, or by the .avsc alone: opaque values as they are."""
    steps = chain(2, big=2**80)
    trail = system.execute(submission(*steps))
    (record,) = trail.records
    if system.system.settings.format == "avro":
        result = read_avro(record.value, "PlanResult")
        payloads = [json.loads(text) for text in result["result_payload"].values()]
    else:
        result = json.loads(record.value)
        payloads = list(result["result_payload"].values())
    assert {name: type(result[name]) for name in RESULT} == RESULT
    assert result.keys() == {*RESULT, "error"}
    assert result["error"] is None
    assert [each["payload"] for each in payloads] == [{"big": 2**80}] * 2


def test_json_records_say_what_they_are_where_several_kinds_are(system: Live) -> None:
    """A member `type` on step-outcomes and commands, and on no other topic."""
    if system.system.settings.format == "avro":
        return  # the fingerprint says it
    prefix = system.system.settings.prefix
    found = defaultdict(set)
    topics = system.system.topics
    for topic in (topics.step_outcomes, topics.commands, topics.audit, *topics.results):
        for value in values(system, topic):
            found[topic.name.removeprefix(prefix)].add(json.loads(value).get("type"))
    for name, types in found.items():
        assert types == SEVERAL.get(name, {None}), name


def test_an_error_in_a_result_is_json_all_through(system: Live) -> None:
    """§3.1: cause and context are objects in JSON, text of objects in Avro."""
    bad = [step("fail", on_failure="skip") for _ in range(2)]
    (record,) = system.execute(submission(step(), *bad)).records
    if system.system.settings.format == "avro":
        error = read_avro(record.value, "PlanResult")["error"]
        contexts = [json.loads(each["context"]) for each in (error, error["cause"])]
    else:
        error = json.loads(record.value)["error"]
        contexts = [each["context"] for each in (error, error["cause"])]
    assert contexts[0]["errors_total"] == 2
    assert contexts[0]["errors"][0]["cause"]["context"]["attempt"] == 1
    assert contexts[1]["attempt"] == 1


# -- pipes


def command(system: Live, *arguments: str) -> tuple[list[str], dict[str, Any]]:
    argv = [sys.executable, "-m", "streams", *arguments]
    return argv, {"cwd": ROOT, "env": {**os.environ, **system.system.environment}}


def planstream(system: Live, *arguments: str, given: str = "") -> tuple[int, list[Any]]:
    """Run a command; its exit code, and the JSON lines that it printed."""
    argv, how = command(system, *arguments)
    done = subprocess.run(
        argv,
        input=given,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        **how,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def lines(made: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(each) + "\n" for each in made)


def test_submit_prints_what_was_taken_and_watch_how_it_ended(system: Live) -> None:
    """`submit - --json | watch --json`: ids from the one are arguments of the other."""
    made = [submission(step()), submission(step(), step("fail", on_failure="skip"))]
    code, taken = planstream(system, "submit", "-", "--json", given=lines(made))
    assert code == 0
    plan_ids = [each["plan"]["id"] for each in made]
    by_line = {each["line"]: each["plan_id"] for each in taken}
    assert by_line == dict(enumerate(plan_ids, 1))
    code, results = planstream(system, "watch", "--json", *plan_ids)
    assert code == 1, "one of them is no success"
    status = {each["plan_id"]: each["status"] for each in results}
    assert status == dict(zip(plan_ids, ["success", "partial"], strict=True))
    (payload,) = next(
        each["result_payload"] for each in results if each["status"] == "success"
    ).values()
    assert payload["attempt"] == 1


def test_submit_answers_line_by_line_while_its_input_is_open(system: Live) -> None:
    """A pipe can feed `submit - --watch --json` for ever: each result comes at once."""
    argv, how = command(system, "submit", "-", "--watch", "--fill", "--json")
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, text=True, stdin=pipe, stdout=pipe, **how) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for word in ("one", "two", "three"):
            only = {"id": "only", "action": "echo", "payload": {"word": word}}
            plan = {"name": word, "context_requirements": ["x"], "steps": [only]}
            process.stdin.write(json.dumps({"plan": plan, "environment": {"x": 1}}))
            process.stdin.write("\n")
            process.stdin.flush()
            result = json.loads(process.stdout.readline())
            (payload,) = result["result_payload"].values()
            assert payload["payload"] == {"word": word}
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(TIMEOUT_S) == 0


def test_watch_tells_of_everybodys_plans(system: Live) -> None:
    """`watch --json --since`: results and dead letters from then on, as they lie."""
    since = str(submission(step())["started_at"])
    made = [submission(step()) for _ in range(3)]
    system.execute_all(*made)
    system.run(system.send(b"garbage"))
    options = ("--json", "--rejected", "--since", since, "--limit", "4")
    code, printed = planstream(system, "watch", *options)
    assert code == 0
    ended = {each["plan_id"] for each in printed if "status" in each}
    assert ended == {each["plan"]["id"] for each in made}
    (letter,) = [each for each in printed if "rejected" in each]
    assert letter["rejected"] == "MALFORMED"


def test_workflows_go_through_a_pipe(system: Live) -> None:
    """`wfplans … | planstream submit - --watch --json`, as its README shows it."""
    file = ROOT / "examples/wfcommons/instances/helloworld-chain-5-chameleon.json"
    generator = [sys.executable, "-m", "examples.wfcommons.wfplans", str(file)]
    made = subprocess.check_output(
        [*generator, "--speedup", "100000", "--count", "5"], cwd=ROOT, text=True
    )
    options = ("submit", "-", "--watch", "--json", "--timeout", "30")
    code, results = planstream(system, *options, given=made)
    assert code == 0
    assert [each["steps_executed"] for each in results] == [5] * 5


# -- always


def test_every_plan_has_one_result_one_audit_and_one_event(system: Live) -> None:
    """§5, I1, I7: in either format."""
    system.run(system.ledger.catch_up())
    assert len(system.ledger.trails) > 10
    for plan_id, trail in system.ledger.trails.items():
        counts = (len(trail.results), len(trail.audits), len(trail.events))
        assert counts == (1, 1, 1), plan_id
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
