"""Plain functions: they may block, they can die, and they are killed at their limit."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from agents import frames
from agents.handlers import Registry
from tests.unit.worker import plain_handlers
from tests.unit.worker.harness import TOPIC, bench, eventually, in_loop
from tests.unit.worker.plain_handlers import registry
from tests.unit.worker.system import children, is_gone

PARTITION = (TOPIC, 0)
ROOT = Path(__file__).parents[3]


def pids_in(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


@in_loop
async def test_a_plain_function_runs_in_a_child() -> None:
    """And knows as much about its step as an async one."""
    async with bench(registry) as b:
        given = b.offer("whoami", attempt=2, user_id="ada", timeout_ms=9000)
        await b.answered()
        told = b.sink.results[0]
    assert told["pid"] != os.getpid()
    assert told["parent"] == os.getpid()
    assert told["ids"] == [given[n] for n in ("plan_id", "execution_id", "step_id")]
    assert (told["attempt"], told["region"], told["user"]) == (2, "eu", "ada")
    assert 8 < told["remaining"] <= 9


@in_loop
async def test_models_are_read_and_dumped_there() -> None:
    """R27; and a mismatch is found there."""
    async with bench(registry) as b:
        assert (await b.run("model", {"name": "x"})).result == '{"name":"X"}'
        error = (await b.run("model", {"nome": "x"})).error
        assert error.error_code == "INVALID_PAYLOAD"
        assert "payload.name: Field required" in error.message
        assert "payload.name" in json.loads(error.context)["violations"][0]["path"]


@in_loop
async def test_children_are_kept_for_the_next_call() -> None:
    """Starting one costs a tenth of a second."""
    async with bench(registry, processes=1) as b:
        pids = set()
        for _ in range(20):
            pids.add(json.loads((await b.run("whoami")).result)["pid"])
        assert len(pids) == 1


@in_loop
async def test_no_child_is_started_without_plain_functions() -> None:
    """Most workers have none."""
    async with bench(Registry()) as b:
        await b.run("echo")
        assert children() == []


@in_loop
async def test_they_run_beside_one_another_and_beside_async_ones(
    tmp_path: Path,
) -> None:
    """A blocking function blocks nobody."""
    mixed = Registry()
    mixed.add("block", registry["block"].function)

    @mixed.action("quick")
    async def quick(step: Any) -> str:
        return "quick"

    async with bench(mixed, processes=2) as b:
        block = {"file": str(tmp_path / "pids"), "seconds": 1}
        for _ in range(3):
            b.offer("block", block)
        await eventually(lambda: len(pids_in(tmp_path / "pids")) == 2)
        before = time.monotonic()
        for _ in range(50):
            b.offer("quick")
        await b.answered(50)
        assert time.monotonic() - before < 0.5
        await b.answered(53)
        assert len(set(pids_in(tmp_path / "pids"))) == 2, "never more than allowed"


@pytest.mark.parametrize("action", ["block", "stubborn", "busy"])
@in_loop
async def test_the_limit_is_hard(action: str, tmp_path: Path) -> None:
    """§6.9: whatever the function does, at its limit it is killed."""
    async with bench(registry, processes=1) as b:
        await b.run("echo")
        before = time.monotonic()
        outcome = await b.run(action, {"file": str(tmp_path / "pids")}, timeout_ms=300)
        assert 0.3 <= time.monotonic() - before < 1
        assert outcome.error.error_code == "STEP_TIMEOUT"
        assert 300 <= outcome.ended_at - outcome.started_at < 900
        await eventually(lambda: b.engine.load().running == 0)
        assert b.engine.load().leaked == 0
        for pid in pids_in(tmp_path / "pids"):
            await eventually(lambda pid=pid: is_gone(pid))  # type: ignore[misc]
        assert (await b.run("echo", {"still": "here"})).result == '{"still":"here"}'


@in_loop
async def test_what_a_child_started_dies_with_it(tmp_path: Path) -> None:
    """A function that shells out is no way round the limit."""
    file = tmp_path / "pid"
    async with bench(registry) as b:
        outcome = await b.run("shell", {"file": str(file)}, timeout_ms=500)
        assert outcome.error.error_code == "STEP_TIMEOUT"
        [pid] = pids_in(file)
        await eventually(lambda: is_gone(pid))


@in_loop
async def test_the_limit_runs_from_the_start_of_the_function() -> None:
    """R10: neither starting a child nor importing its modules counts."""
    async with bench(registry, processes=4) as b:
        for _ in range(4):
            b.offer("echo", timeout_ms=80)
        await b.answered(4)
        assert len(b.sink.succeeded) == 4


@in_loop
async def test_a_halt_kills(tmp_path: Path) -> None:
    """§5.3: halt in-flight steps now."""
    file = tmp_path / "pids"
    async with bench(registry) as b:
        given = b.offer("block", {"file": str(file)})
        await eventually(lambda: pids_in(file))
        b.engine.halt(given["execution_id"])
        await eventually(lambda: is_gone(pids_in(file)[0]))
        await eventually(lambda: b.engine.committable() == {PARTITION: 1})
        assert b.sink.failed == []


@pytest.mark.parametrize(
    ("action", "how"),
    [
        ("exit", "exited with code 3"),
        ("suicide", "was killed by SIGKILL"),
        ("segfault", "was killed by SIGSEGV"),
        ("hang-up", "closed its connection"),
    ],
)
@in_loop
async def test_a_child_that_dies_fails_its_step(action: str, how: str) -> None:
    """UNKNOWN_ERROR, fatal: a broken worker; the worker goes on."""
    async with bench(registry, processes=1) as b:
        error = (await b.run(action)).error
        assert (error.error_code, error.severity) == ("UNKNOWN_ERROR", "fatal")
        assert error.message == f"the child process {how} while it ran the handler"
        assert (await b.run("echo")).result == "{}"
        assert b.fatal == []


@in_loop
async def test_a_child_that_dies_between_calls_is_replaced() -> None:
    """The out-of-memory killer picks whom it likes; no handler ran, none failed."""
    async with bench(registry, processes=1) as b:
        for _ in range(3):
            pid = json.loads((await b.run("whoami")).result)["pid"]
            os.kill(pid, signal.SIGKILL)
        assert (await b.run("echo")).result == "{}"
        assert b.sink.failed == []


@in_loop
async def test_a_function_that_needs_too_much_memory() -> None:
    """RESOURCE_EXHAUSTED; the child goes on."""
    async with bench(registry, processes=1, process_memory_bytes=1 << 30) as b:
        pid = json.loads((await b.run("whoami")).result)["pid"]
        error = (await b.run("memory")).error
        assert (error.error_code, error.severity) == ("RESOURCE_EXHAUSTED", "fatal")
        assert json.loads((await b.run("whoami")).result)["pid"] == pid


@pytest.mark.parametrize(
    ("what", "code", "severity"),
    [
        ("action", "MINE", "error"),
        ("fatal", "MINE", "fatal"),
        ("value", "STEP_ERROR", "error"),
        ("exit", "STEP_ERROR", "error"),
        ("interrupt", "STEP_ERROR", "error"),
        ("cancelled", "STEP_ERROR", "error"),
        ("memory", "RESOURCE_EXHAUSTED", "fatal"),
    ],
)
@in_loop
async def test_whatever_leaves_a_function_fails_its_step(
    what: str, code: str, severity: str
) -> None:
    """R6, R26: with cause and diagnostics, as from an async handler."""
    async with bench(registry) as b:
        error = (await b.run("raise", {"what": what})).error
        assert (error.error_code, error.severity) == (code, severity)
        assert error.cause.message == "LookupError: why"
        context = json.loads(error.context)
        assert context["worker"] == "worker-1"
        if what == "value":
            assert context["exception"] == "builtins.ValueError"
            assert "plain_handlers.py" in context["frames"][-1]
        if what == "action":
            assert context["more"] == 1


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("nan", "UNKNOWN_ERROR"),
        ("set", "UNKNOWN_ERROR"),
        ("coroutine", "UNKNOWN_ERROR"),
        ("large", "RESOURCE_EXHAUSTED"),
    ],
)
@in_loop
async def test_results_that_cannot_be_sent(what: str, code: str) -> None:
    """R22, R27."""
    async with bench(registry) as b:
        error = (await b.run("return", {"what": what})).error
        assert (error.error_code, error.severity) == (code, "fatal")


@in_loop
async def test_integers_of_any_size_go_through_a_child() -> None:
    """R27."""
    async with bench(registry) as b:
        text = '{"n":' + "9" * 10_000 + "}"
        assert (await b.run("echo", text)).result == text
        assert (await b.run("return", {"what": "huge"})).result == "1" + "0" * 6000


@in_loop
async def test_warnings_and_log_lines_come_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also those of a child that dies with its next breath."""
    async with bench(registry) as b:
        with caplog.at_level(logging.INFO):
            given = b.offer("warn", {"die": True})
            await b.answered()
    assert [each.code for each in b.sink.warned] == ["LOW_STOCK"]
    records: dict[str, Any] = {each.name: each for each in caplog.records}
    assert records["planstream.handlers.warn"].message == "look here"
    assert records["planstream.handlers.warn"].plan_id == given["plan_id"]
    assert records["library"].message == "and here"


@in_loop
async def test_a_child_has_an_output_but_no_input(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A function that prints disturbs nothing; one that reads gets the end of file."""
    async with bench(registry) as b:
        assert (await b.run("print")).result == '"printed"'


@in_loop
async def test_long_calls_are_announced() -> None:
    """As with async handlers: the coordinator holds their deadline."""
    async with bench(registry) as b:
        await b.run("stubborn", timeout_ms=300)
        assert len(b.sink.started) == 1
        assert b.sink.started[0].elapsed_ms >= 100


@in_loop
async def test_each_call_has_its_own_payload() -> None:
    """R28."""
    async with bench(registry, processes=1) as b:
        for _ in range(2):
            assert (await b.run("share", {"a": 1})).result == '{"a":1}'


@in_loop
async def test_a_module_that_a_child_cannot_import() -> None:
    """It was importable in the parent: the worker is broken, not the plan."""
    echo = FunctionType(plain_handlers.echo.__code__, plain_handlers.__dict__, "echo")
    echo.__module__ = "no_such_module"
    lost = Registry()
    lost.add("echo", echo)
    async with bench(lost) as b:
        error = (await b.run("echo")).error
        assert (error.error_code, error.severity) == ("UNKNOWN_ERROR", "fatal")
        assert "ModuleNotFoundError: No module named 'no_such_module'" in error.message


@in_loop
async def test_stop_leaves_no_child(tmp_path: Path) -> None:
    """Neither idle nor busy ones, whose requests are redelivered."""
    file = tmp_path / "pids"
    async with bench(registry, processes=2) as b:
        await b.run("echo")
        b.offer("block", {"file": str(file)})
        await eventually(lambda: pids_in(file))
        await b.engine.stop(0.1)
        assert children() == []
        assert b.sink.failed == []
        assert b.engine.committable() == {PARTITION: 1}


@in_loop
async def test_stop_waits_for_calls_that_end_in_time(tmp_path: Path) -> None:
    """They are answered."""
    async with bench(registry) as b:
        b.offer("block", {"file": str(tmp_path / "pids"), "seconds": 0.3})
        await eventually(lambda: pids_in(tmp_path / "pids"))
        await b.engine.stop(5)
        assert b.sink.results == ["done"]


@in_loop
async def test_stop_right_after_the_start() -> None:
    """The first child is still on its way."""
    async with bench(registry) as b:
        await asyncio.sleep(0.01)
        await b.engine.stop(1)
        assert children() == []


def test_a_parent_that_was_killed_with_messages_unread_is_gone() -> None:
    """The kernel then resets the connection; a child that waits ends all the same."""
    parent, child = socket.socketpair()
    with child:
        child.sendall(frames.pack({"kind": "ready"}))
        parent.close()
        with pytest.raises(EOFError):
            frames.receive(child)


def test_children_die_with_their_parent(tmp_path: Path) -> None:
    """Also when it is killed, and a handler runs in C with no end."""
    file = tmp_path / "pids"
    script = f"""
        import asyncio
        from tests.unit.worker.harness import bench
        from tests.unit.worker.plain_handlers import registry

        async def main():
            async with bench(registry) as b:
                b.offer("block", {{"file": {str(file)!r}}})
                b.offer("block", {{"file": {str(file)!r}}})
                await asyncio.sleep(60)

        asyncio.run(main())
    """
    code = textwrap.dedent(script)
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as parent:
        try:
            asyncio.run(eventually(lambda: len(pids_in(file)) == 2))
        finally:
            parent.kill()
    for pid in pids_in(file):
        asyncio.run(eventually(lambda pid=pid: is_gone(pid), 3))  # type: ignore[misc]
