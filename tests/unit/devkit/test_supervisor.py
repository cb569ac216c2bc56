import asyncio
import signal
import sys
import textwrap
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from streams.devkit.lines import MAX_LINE, Lines, log_files
from streams.devkit.supervisor import Backoff, Command, NotReady, Supervisor

AT_ONCE = Backoff(first_s=0.01, factor=1.0)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60))


def python(name: str, code: str, *, ready: str | None = None) -> Command:
    argv = (sys.executable, "-u", "-c", textwrap.dedent(code))
    return Command(name, argv, ready=ready)


class Output:
    """Keeps all lines that a supervisor is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))


def supervisor(output: Output, **options: Any) -> Supervisor:
    return Supervisor(sink=output, **{"backoff": AT_ONCE, **options})


READY = 'import time; print("getting up"); print("worker ready"); time.sleep(600)'


def test_a_process_is_ready_when_it_says_so() -> None:
    """Its output comes line by line, under its name."""

    async def scenario() -> None:
        output = Output()
        async with supervisor(output) as processes:
            worker = processes.start(python("worker", READY, ready="worker ready"))
            at_first = worker.is_ready
            await processes.wait_ready(10)
            assert (at_first, worker.is_ready) == (False, True)
            assert output.lines == [
                ("worker", "getting up"),
                ("worker", "worker ready"),
            ]

    run(scenario())


def test_a_killed_process_is_started_again() -> None:
    """As a new process, which has to become ready anew."""

    async def scenario() -> None:
        async with supervisor(Output()) as processes:
            worker = processes.start(python("worker", READY, ready="worker ready"))
            await worker.wait_ready(10)
            first = worker.pid
            worker.kill()
            await worker.wait_start(2, 10)
            await worker.wait_ready(10)
            assert worker.pid not in {None, first}
            assert [end.code for end in worker.exits] == [-signal.SIGKILL]

    run(scenario())


def test_a_process_that_ends_by_itself_is_started_again() -> None:
    """Whatever its exit code: workers are not meant to end."""

    async def scenario() -> None:
        async with supervisor(Output()) as processes:
            worker = processes.start(python("worker", "raise SystemExit(0)"))
            await worker.wait_start(4, 10)
            assert {end.code for end in worker.exits} == {0}

    run(scenario())


def test_the_wait_between_starts_doubles_up_to_a_limit() -> None:
    """A process that cannot run does not keep the machine busy."""
    backoff = Backoff(first_s=1, factor=2, most_s=10)

    assert [backoff.delay_s(n) for n in (1, 2, 3, 4, 5, 10_000)] == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(("good_after_s", "at_least_s"), [(60.0, 0.7), (0.0, 0.3)])
def test_the_wait_is_short_again_after_a_good_while(
    good_after_s: float, at_least_s: float
) -> None:
    """Three waits: 0.1, 0.2 and 0.4 s in a row, or 0.1 s each after good whiles."""
    backoff = Backoff(first_s=0.1, factor=2, good_after_s=good_after_s)

    async def scenario() -> None:
        async with supervisor(Output(), backoff=backoff) as processes:
            worker = processes.start(python("worker", ""))
            began = asyncio.get_running_loop().time()
            await worker.wait_start(4, 30)
            waited = asyncio.get_running_loop().time() - began
            waited -= sum(end.lived_s for end in worker.exits)
            assert at_least_s <= waited < at_least_s + 0.35

    run(scenario())


def test_a_process_that_never_gets_ready_is_an_error_with_its_last_lines() -> None:
    """Whoever waits for it learns what it said."""

    async def scenario() -> None:
        async with supervisor(Output()) as processes:
            worker = processes.start(python("worker", READY, ready="something else"))
            with pytest.raises(NotReady, match="not ready after 1 s") as caught:
                await worker.wait_ready(1)
            assert caught.value.tail[-1] == "worker ready"

    run(scenario())


def test_a_process_may_be_given_up() -> None:
    """After so many ends in a row; those who wait are told at once."""

    async def scenario() -> None:
        code = 'print("no such setting"); raise SystemExit(2)'
        async with supervisor(Output(), give_up_after=3) as processes:
            worker = processes.start(python("worker", code, ready="ready"))
            with pytest.raises(NotReady, match="ended 3 times, last with 2") as caught:
                await worker.wait_ready(30)
            assert "no such setting" in str(caught.value)
            assert worker.starts == 3

    run(scenario())


def test_a_missing_program_is_given_up_at_once() -> None:
    """Trying again would not help."""

    async def scenario() -> None:
        async with supervisor(Output()) as processes:
            worker = processes.start(Command("worker", ("/no-such-program",)))
            with pytest.raises(NotReady, match="no-such-program"):
                await worker.wait_ready(10)

    run(scenario())


def test_stopping_is_polite_first() -> None:
    """A worker that wants to leave its group may do so."""
    code = """
        import signal, sys, time
        def leave(*_):
            print("leaving the group")
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        print("ready")
        time.sleep(600)
    """

    async def scenario() -> None:
        output = Output()
        async with supervisor(output) as processes:
            worker = processes.start(python("worker", code, ready="ready"))
            await worker.wait_ready(10)
        assert ("worker", "leaving the group") in output.lines
        assert [end.code for end in worker.exits] == [0]
        assert worker.starts == 1

    run(scenario())


def test_a_deaf_process_is_killed_after_a_while() -> None:
    """Stopping takes a bounded time."""
    code = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ready")
        time.sleep(600)
    """

    async def scenario() -> None:
        async with supervisor(Output(), stopped_within_s=0.3) as processes:
            worker = processes.start(python("worker", code, ready="ready"))
            await worker.wait_ready(10)
        assert [end.code for end in worker.exits] == [-signal.SIGKILL]

    run(scenario())


def test_a_frozen_process_is_stopped_too() -> None:
    """One under SIGSTOP sees no request before it is woken up."""

    async def scenario() -> None:
        async with supervisor(Output()) as processes:
            worker = processes.start(python("worker", READY, ready="worker ready"))
            await worker.wait_ready(10)
            worker.send_signal(signal.SIGSTOP)
        assert [end.code for end in worker.exits] == [-signal.SIGTERM]

    run(scenario())


def test_stopping_while_a_process_waits_for_its_next_start_is_quick() -> None:
    """Nothing is started any more."""

    async def scenario() -> None:
        async with supervisor(Output(), backoff=Backoff(first_s=30)) as processes:
            worker = processes.start(python("worker", ""))
            while not worker.exits:
                await asyncio.sleep(0.01)
            async with asyncio.timeout(1):
                await processes.stop()
            assert worker.starts == 1

    run(scenario())


def test_stopping_at_once_leaves_no_process() -> None:
    """Even one whose start is just under way."""

    async def scenario() -> None:
        async with supervisor(Output(), stopped_within_s=1) as processes:
            worker = processes.start(python("worker", READY))
            await asyncio.sleep(0.005)
        assert worker.pid is None
        assert len(worker.exits) == worker.starts

    run(scenario())


def test_two_commands_cannot_have_one_name() -> None:
    """Until the first has been stopped for good."""

    async def scenario() -> None:
        async with supervisor(Output()) as processes:
            processes.start(python("worker", READY))
            with pytest.raises(ValueError, match="'worker' has been started already"):
                processes.start(python("worker", READY))
            await processes.stop_one("worker")
            processes.start(python("worker", READY))

    run(scenario())


def test_variables_come_on_top_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process finds what we find, and what it was given."""
    monkeypatch.setenv("OURS", "1")
    code = 'import os; print(os.environ["OURS"] + os.environ["GIVEN"])'
    argv = (sys.executable, "-c", code)

    async def scenario() -> None:
        async with supervisor(Output()) as processes:
            given = Command("worker", argv, env={"GIVEN": "2"}, ready="12")
            await processes.start(given).wait_ready(10)

    run(scenario())


def test_a_sink_that_fails_stops_nothing() -> None:
    """A closed terminal is no reason for workers to end."""

    def broken(_name: str, _line: str) -> None:
        raise BrokenPipeError

    async def scenario() -> None:
        async with Supervisor(sink=broken) as processes:
            worker = processes.start(python("worker", READY, ready="worker ready"))
            await worker.wait_ready(10)
            assert worker.starts == 1

    run(scenario())


def test_lines_are_whole_however_they_arrive() -> None:
    """Cut anywhere, even within a character."""
    text = "größer\r\nund\n\nohne Ende".encode()
    for size in range(1, len(text)):
        lines = Lines()
        found = []
        for start in range(0, len(text), size):
            found += lines.feed(text[start : start + size])
        assert found + lines.rest() == ["größer", "und", "", "ohne Ende"]


def test_endless_lines_are_cut() -> None:
    """A process that writes no line ends cannot fill our memory."""
    lines = Lines()
    found = [line for _ in range(30) for line in lines.feed(b"x" * 10_000)]

    assert len(found) == 2
    assert all(len(line) <= MAX_LINE + 10_000 for line in found)


def test_lines_may_go_to_files(tmp_path: Path) -> None:
    """One file for each process."""
    sink = log_files(tmp_path / "logs")
    sink("a", "one")
    sink("b", "two")
    sink("a", "three")

    assert (tmp_path / "logs" / "a.log").read_text() == "one\nthree\n"
    assert (tmp_path / "logs" / "b.log").read_text() == "two\n"
