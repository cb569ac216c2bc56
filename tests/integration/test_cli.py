import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from typer.testing import CliRunner, Result

from agents.partitioner import partition_of
from schemas.codec import decode, encode
from schemas.context import PlanSubmission
from schemas.errors import Severity, make_error
from schemas.results import PlanResult, Status
from streams import bootstrap
from streams.cli import app
from streams.config import Settings
from streams.results import assign, partitions_of
from streams.submissions import complete, new_id, now_ms, write
from streams.topics import Topics
from tests.conftest import Broker

PARTITIONS = 3


@pytest.fixture
def settings(
    kafka: Broker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    """Give settings, and put them into the environment for commands."""
    monkeypatch.setenv("PLANSTREAM_BROKER", kafka.bootstrap)
    monkeypatch.setenv("PLANSTREAM_PREFIX", topic_prefix)
    monkeypatch.setenv("PLANSTREAM_PARTITIONS", str(PARTITIONS))
    monkeypatch.setenv("PLANSTREAM_DATA_DIR", str(tmp_path))
    return Settings.load()


@pytest.fixture
def topics(settings: Settings) -> Topics:
    """Give topics that exist."""
    asyncio.run(bootstrap.create(settings))
    return Topics.of(settings)


class Answering(threading.Thread):
    """Answers each plan by its name: `success`, `failure`, `silence`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self._topics = Topics.of(settings)
        self._ended = threading.Event()
        self._ready = threading.Event()

    def __enter__(self) -> None:
        self.start()
        assert self._ready.wait(20)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join(20)

    def run(self) -> None:
        """Read plans, write results."""
        asyncio.run(self._answer_all())

    async def _answer_all(self) -> None:
        connection = self._settings.connection()
        consumer = AIOKafkaConsumer(**connection)
        producer = AIOKafkaProducer(**connection)
        await consumer.start()
        await producer.start()
        try:
            await assign(consumer, partitions_of([self._topics.plans]), None)
            self._ready.set()
            while not self._ended.is_set():
                for batch in (await consumer.getmany(timeout_ms=50)).values():
                    for record in batch:
                        await self._answer(producer, record.value)
        finally:
            await consumer.stop()
            await producer.stop()

    async def _answer(self, producer: AIOKafkaProducer, value: bytes) -> None:
        plan = decode(value, PlanSubmission).plan
        if plan.name == "silence":
            return
        result = result_of(plan.id, Status(plan.name))
        key = plan.id.encode()
        await producer.send_and_wait(
            self._topics.result(result.status).name,
            encode(result),
            key=key,
            partition=partition_of(key, PARTITIONS),
        )


def result_of(plan_id: str, status: Status) -> PlanResult:
    """Make a result."""
    error = None
    if status is not Status.SUCCESS:
        error = make_error("BROKEN", "as asked", severity=Severity.FATAL)
    return PlanResult(
        plan_id=plan_id,
        execution_id=new_id(),
        status=status,
        completed_at=now_ms(),
        duration_ms=5,
        steps_executed=0 if error else 1,
        steps_total=1,
        result_payload={} if error else {new_id(): "null"},
        error=error,
    )


def line(name: str, **members: Any) -> str:
    """Write a valid submission in one line."""
    plan = {
        "name": name,
        "context_requirements": ["carrier"],
        "steps": [{"id": "a", "action": "echo", "payload": {}}],
        **members,
    }
    return complete(write(plan, {"carrier": 1}), now_ms()).text


def plan_id_of(text: str) -> str:
    """Give the id of a written plan."""
    return str(json.loads(text)["plan"]["id"])


def run(*arguments: str, stdin: str = "") -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, list(arguments), input=stdin)


def test_topics_are_checked_created_and_checked_again(settings: Settings) -> None:
    """4 while they do not fit, 0 when they do."""
    result = run("topics", "check")
    assert result.exit_code == 4
    (message,) = result.stderr.splitlines()
    assert message.startswith("planstream: 15 topics do not exist (")
    assert message.endswith("): run `planstream topics create`")
    result = run("topics", "create")
    assert result.exit_code == 0
    names = [topic.name for topic in Topics.of(settings).all()]
    assert result.stdout.splitlines() == [
        *(f"created {name}" for name in names),
        f"all 15 topics fit ({settings.broker})",
    ]
    result = run("topics", "check")
    assert result.exit_code == 0
    assert result.stdout == f"all 15 topics fit ({settings.broker})\n"


def test_topics_that_do_not_fit_stop_every_command(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line each on stderr, before anything is done."""
    monkeypatch.setenv("PLANSTREAM_PARTITIONS", "5")
    commands = ["topics check", "topics create", "submit -", "watch", "coordinator"]
    for command in [*commands, "worker", "combined", "dev"]:
        result = run(*command.split(), stdin=line("success"))
        assert result.exit_code == 4, command
        lines = result.stderr.splitlines()
        assert all(each.startswith("planstream: ") for each in lines)
        assert any(
            f"{topics.plans.name}: has {PARTITIONS} partitions, needs 5: " in each
            for each in lines
        ), command


def test_mismatches_are_json_lines_for_programs(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong can be counted by a script."""
    monkeypatch.setenv("PLANSTREAM_MAX_RECORD_BYTES", "9000000")
    result = run("topics", "check", "--json")
    assert result.exit_code == 4
    found = [json.loads(each) for each in result.stdout.splitlines()]
    assert [each["topic"] for each in found] == [topic.name for topic in topics.all()]
    assert {each["mismatch"] for each in found} == {"configuration"}
    assert all("max.message.bytes" in each["remedy"] for each in found)


def test_lines_are_submitted_byte_for_byte(settings: Settings, topics: Topics) -> None:
    """And what breaks the contract is held back, with its line and path."""
    first = line("success").replace('{"carrier":1}', '{"carrier" :  1.0e0}')
    second = line("")
    third = line("success")
    result = run("submit", "-", stdin=f"{first}\n{second}\nnope\n{third}\n")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        'planstream: line 2: plan.name: must not be empty, not "" (INVALID_PAYLOAD)',
        "planstream: line 2: not sent",
        "planstream: line 3: Expecting value (MALFORMED)",
        "planstream: line 3: not sent",
    ]
    sent = {f"submitted  {plan_id_of(each)}" for each in (first, third)}
    assert {
        each.partition("  execution")[0] for each in result.stdout.splitlines()
    } == (sent)
    assert asyncio.run(values_on_plans(settings)) == {first.encode(), third.encode()}


def test_validation_can_be_left_to_the_pipeline(
    settings: Settings, topics: Topics
) -> None:
    """Whatever has ids can be sent; the violations are said all the same."""
    wrong = line("")
    result = run("submit", "--no-validate", "--json", "-", stdin=f"{wrong}\n{{}}\n")
    assert result.exit_code == 1
    assert "line 1: plan.name" in result.stderr
    assert "line 1: not sent" not in result.stderr
    assert "line 2: not sent" in result.stderr
    facts = json.loads(result.stdout)
    assert (facts["line"], facts["plan_id"]) == (1, plan_id_of(wrong))
    assert facts["partition"] == partition_of(facts["plan_id"].encode(), PARTITIONS)
    assert asyncio.run(values_on_plans(settings)) == {wrong.encode()}


def test_to_watch_is_to_wait_for_the_outcome(
    settings: Settings, topics: Topics
) -> None:
    """0 when all succeed, 1 when one does not, 5 when one does not come."""
    with Answering(settings):
        success, failure, silence = map(line, ("success", "failure", "silence"))
        result = run("submit", "--watch", "-", stdin=success)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"success  {plan_id_of(success)}  1/1 steps  5 ms\n"

        both = f"{line('success')}\n{failure}\n"
        result = run("submit", "-w", "--json", "-", stdin=both)
        assert result.exit_code == 1
        found = {
            each["status"]: each
            for each in map(json.loads, result.stdout.split("\n")[:-1])
        }
        assert set(found) == {"success", "failure"}
        assert found["failure"]["error"]["error_code"] == "BROKEN"

        result = run("submit", "--watch", "--timeout", "0.5", "-", stdin=silence)
        assert result.exit_code == 5
        assert result.stderr == (
            f"planstream: no result of plan {plan_id_of(silence)} within 0.5 s\n"
        )


def test_a_file_can_be_submitted_again_as_a_new_plan(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    """The examples have fixed ids, and are executed once."""
    file = tmp_path / "plan.json"
    file.write_text(line("success"))
    results = [run("submit", "--renew", "--json", str(file)) for _ in range(2)]
    ids = {json.loads(result.stdout)["plan_id"] for result in results}
    assert len(ids) == 2
    assert plan_id_of(file.read_text()) not in ids


def test_results_can_be_watched(settings: Settings, topics: Topics) -> None:
    """From the beginning, up to a number, or those of some plans alone."""
    with Answering(settings):
        texts = [line("success"), line("failure"), line("success")]
        assert run("submit", "-w", "-", stdin="\n".join(texts)).exit_code == 1
    ids = [plan_id_of(text) for text in texts]

    result = run("watch", "--since", "start", "--limit", "3")
    assert result.exit_code == 0
    assert {each.split()[1] for each in result.stdout.splitlines()} == set(ids)

    assert run("watch", "--timeout", "10", ids[0], ids[2]).exit_code == 0
    result = run("watch", "--timeout", "10", "--json", ids[0], ids[1])
    assert result.exit_code == 1
    assert {json.loads(each)["plan_id"] for each in result.stdout.splitlines()} == {
        ids[0],
        ids[1],
    }
    result = run("watch", "--timeout", "0.3")
    assert result.exit_code == 5
    assert result.stderr == "planstream: no result within 0.3 s\n"


def test_a_pipe_is_submitted_as_it_comes(settings: Settings, topics: Topics) -> None:
    """Results come back while the other end still writes; Ctrl-C ends it."""
    command = [sys.executable, "-m", "streams", "submit", "--watch", "-"]
    with (
        Answering(settings),
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            text = line("success")
            process.stdin.write(f"{text}\n")
            assert process.stdout.readline().split()[1] == plan_id_of(text)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_everything_runs_on_one_machine(settings: Settings, tmp_path: Path) -> None:
    """`dev` creates topics, starts all, starts again what dies, ends on Ctrl-C."""
    handlers = ["--handlers", "tests.integration.handlers"]
    with Dev(*handlers) as (process, until):
        until(r"^ready: Kafka at ")
        result = run("submit", "-w", "--timeout", "60", "-", stdin=line("x"))
        assert (result.exit_code, result.stderr) == (0, "")

        # Announces itself again, so that its second death is not the plan's.
        dying = line("y", steps=[{"id": "a", "action": "die", "payload": {}}])
        assert run("submit", "-", stdin=dying).exit_code == 0
        until(r"^worker-0 .*worker ready")
        process.send_signal(signal.SIGINT)
        until(r"^stopping")
        assert process.wait(40) == 0


class Dev:
    """Runs `planstream dev`; gives the process, and what waits for a line of it."""

    def __init__(self, *options: str) -> None:
        self._command = [sys.executable, "-m", "streams", "dev", *options]
        self._lines: list[str] = []
        self._seen = 0

    def __enter__(self) -> tuple["subprocess.Popen[str]", Callable[[str], None]]:
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        return self._process, self._until

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(40)
        self._reading.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._lines.extend(iter(self._process.stdout.readline, ""))

    def _until(self, pattern: str, timeout: float = 60.0) -> None:
        """Wait for a line after the one that was waited for before."""
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            for number, each in enumerate(self._lines[self._seen :], self._seen):
                if re.search(pattern, each):
                    self._seen = number + 1
                    return
            time.sleep(0.05)
        raise AssertionError(f"no {pattern!r} in {''.join(self._lines)}")


async def values_on_plans(settings: Settings) -> set[bytes]:
    """Read the plans topic up to its end."""
    consumer = AIOKafkaConsumer(**settings.connection())
    await consumer.start()
    try:
        tps = partitions_of([Topics.of(settings).plans])
        ends = await consumer.end_offsets(tps)
        await assign(consumer, tps, since=0)
        found: list[bytes] = []
        while len(found) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                found += [record.value for record in batch]
        return set(found)
    finally:
        await consumer.stop()
