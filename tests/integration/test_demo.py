"""The demo, as a user starts it: a process of its own, on the session's broker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

if TYPE_CHECKING:
    from tests.conftest import Broker

ROOT = Path(__file__).parents[2]
WITHIN_S = 110.0
OUTCOMES = {
    "json": ("success", 5, 5, []),
    "http": ("success", 5, 5, []),
    "asyncio": ("success", 5, 5, []),
    "library": ("success", 19, 19, []),
    "logging": ("success", 5, 5, []),
    "email": ("partial", 5, 6, ["STEP_SKIPPED", "NOT_PYTHON"]),
    "twins": ("failure", 1, 3, ["STEP_TIMEOUT"]),
}
BROKEN = (
    "from streams.devkit import demo_system; from streams.cli import app; "
    "demo_system.HANDLERS = 'no.such.module'; app()"
)


class Demo:
    """One run of the demo, and whatever it starts."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self._mark = f"PLANSTREAM_TEST_MARK={uuid.uuid4()}"
        name, _, value = self._mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=directory,
            env=_environment()
            | {name: value, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def temporary(self) -> Path:
        """Where it puts what is temporary."""
        path = self.directory / "tmp"
        path.mkdir(exist_ok=True)
        return path

    def wait_for(self, text: str) -> None:
        """Read its output up to a line with this text."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if text in line:
                return
        raise AssertionError(f"it never said {text!r}")

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; give exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, out, err

    def processes(self) -> list[str]:
        """Find all that it has started and that still run: they inherit the mark."""
        return [
            process.read_bytes().replace(b"\0", b" ").decode()
            for process in Path("/proc").glob("[0-9]*/cmdline")
            if self._started(process.parent)
        ]

    def _started(self, process: Path) -> bool:
        try:
            return self._mark.encode() in (process / "environ").read_bytes()
        except OSError:  # another user's, or just gone
            return False


def _environment() -> dict[str, str]:
    """Give our own, without a broker: whoever wants that one names it."""
    return {name: v for name, v in os.environ.items() if name != "PLANSTREAM_BROKER"}


@pytest.fixture
def topics_before(kafka: Broker) -> Iterator[None]:
    """Fail when a test has left topics on the broker."""
    before = topics(kafka)
    yield
    assert topics(kafka) <= before


def topics(kafka: Broker) -> set[str]:
    async def listed() -> set[str]:
        client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await client.start()
        try:
            return set(await client.list_topics())
        finally:
            await client.close()

    return {name for name in asyncio.run(listed()) if ".demo-" in name}


def outcomes(lines: str) -> dict[str, Any]:
    return {each["plan"]: each for each in map(json.loads, lines.splitlines())}


@pytest.mark.slow
@pytest.mark.usefixtures("topics_before")
def test_the_demo_shows_every_outcome(kafka: Broker, tmp_path: Path) -> None:
    """It exits with 0, tells of each plan, and leaves its reports and nothing else."""
    demo = Demo(tmp_path, "-m", "streams", "demo", "--broker", kafka.bootstrap)

    code, out, err = demo.end()

    assert (code, err) == (0, "")
    lines = out.splitlines()
    for name, (status, executed, total, codes) in OUTCOMES.items():
        (head,) = (line for line in lines if line.startswith(f"{name:<9}{status} "))
        assert f"{executed} of {total} steps" in head
        assert head.endswith(f".results.{status}")
        assert all(code in out for code in codes)
    assert "report took 3 attempts; REPORT_LOCKED" in out
    assert "All plans ended as they should" in out
    assert demo.processes() == []
    assert list(demo.temporary.iterdir()) == []
    left = {path.name for path in (tmp_path / "planstream-demo").iterdir()}
    reports = {f"{name}.md" for name in OUTCOMES if name != "twins"}
    assert left == {"plans", *reports}


@pytest.mark.slow
@pytest.mark.usefixtures("topics_before")
def test_programs_are_told_the_same(kafka: Broker, tmp_path: Path) -> None:
    """As JSON lines; the broker is named by the environment, as it is for all."""
    demo = Demo(
        tmp_path,
        *("-m", "streams", "demo", "--json", "--reports", "there"),
        *("--broker", kafka.bootstrap, "--prefix", "of-a-test."),
    )

    code, out, err = demo.end()

    assert (code, err) == (0, "")
    found = outcomes(out)
    assert {
        name: (
            each["status"],
            each["steps_executed"],
            each["steps_total"],
            [error["code"] for error in each["errors"]],
        )
        for name, each in found.items()
    } == OUTCOMES
    assert all(each["surprise"] is None for each in found.values())
    assert all(each["topic"].startswith("of-a-test.demo-") for each in found.values())
    assert found["logging"]["attempts"] == {"report": 3}
    # The limit is hard: it is kept while the handler computes without a pause.
    assert found["twins"]["duration_ms"] >= 2000
    for name, each in found.items():
        if name != "twins":
            text = Path(each["report"]).read_text()
            assert text.startswith(f"# {name}, in Python 3.")
            assert f"Plan {each['plan_id']}" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("topics_before")
def test_a_signal_stops_everything(
    kafka: Broker, tmp_path: Path, number: signal.Signals
) -> None:
    """In the middle of the plans; what was started and created is gone."""
    demo = Demo(tmp_path, "-u", "-m", "streams", "demo", "--broker", kafka.bootstrap)
    demo.wait_for("have been submitted")
    assert len(demo.processes()) > 3

    began = time.monotonic()
    demo.process.send_signal(number)
    code, _, err = demo.end()

    assert code == 130
    assert err == "planstream: interrupted; everything has been stopped\n"
    assert time.monotonic() - began < 30
    assert demo.processes() == []
    assert list(demo.temporary.iterdir()) == []


@pytest.mark.usefixtures("topics_before")
def test_a_process_that_does_not_start_is_named(kafka: Broker, tmp_path: Path) -> None:
    """With the end of its log, which says why; all the others are stopped."""
    demo = Demo(tmp_path, "-c", BROKEN, "demo", "--broker", kafka.bootstrap)

    code, out, err = demo.end()

    assert code == 1
    assert "worker ended" in err
    assert "no.such.module" in err
    assert "submitted" not in out
    assert demo.processes() == []
    assert list(demo.temporary.iterdir()) == []


def test_a_broker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """The demo does not start one of its own when it was given one."""
    demo = Demo(tmp_path, "-m", "streams", "demo", "--broker", "127.0.0.1:1")

    code, _, err = demo.end()

    assert code == 3
    assert err.startswith("planstream: no Kafka broker answers at 127.0.0.1:1 ")
    assert demo.processes() == []


@pytest.mark.broker
@pytest.mark.parametrize("line", ["planstream demo", "have been submitted"])
def test_a_broker_of_its_own_is_stopped_too(tmp_path: Path, line: str) -> None:
    """Be it just starting, or at work; its data are removed."""
    demo = Demo(tmp_path, "-u", "-m", "streams", "demo")
    demo.wait_for(line)
    while not any("kafka." in each for each in demo.processes()):
        time.sleep(0.02)

    demo.process.send_signal(signal.SIGINT)
    code, _, _ = demo.end()

    assert code == 130
    assert demo.processes() == []
    assert list(demo.temporary.iterdir()) == []
