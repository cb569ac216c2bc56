import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.devkit.lifeline import CannotStart, GuardedProcess

ROOT = Path(__file__).parents[3]


def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until something holds, and fail if it never does."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie that nobody reaps does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    ps = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(ps, capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def python(code: str, *arguments: object) -> list[str]:
    """Return the command line of a small Python program."""
    program = textwrap.dedent(code)
    return [sys.executable, "-c", program, *map(str, arguments)]


SLEEPER = python("import time; time.sleep(600)")


def start(argv: list[str], output: Path) -> GuardedProcess:
    with output.open("wb") as file:
        return GuardedProcess(argv, output=file)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.mark.parametrize("code", [0, 1, 3, 143])
def test_a_process_ends_with_its_own_exit_code(output: Path, code: int) -> None:
    """The guard between us and a process is not to be noticed."""
    process = start(python(f"print('hello'); raise SystemExit({code})"), output)

    assert process.wait(10) == code
    assert output.read_text() == "hello\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_the_process_itself(output: Path, number: int) -> None:
    """A signal ends it as if there were no guard, and is reported as such."""
    process = start(SLEEPER, output)

    process.send_signal(number)

    assert process.wait(10) == -number
    assert not is_alive(process.pid)


def test_its_process_id_is_the_commands_own(output: Path) -> None:
    """Tests kill by process id, and mean the command rather than its guard."""
    process = start(python("import os; print(os.getpid())"), output)
    process.wait(10)

    assert int(output.read_text()) == process.pid


def test_a_process_that_ignores_requests_is_killed(output: Path) -> None:
    """`stop` waits as long as it was told to, then uses force."""
    code = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf", flush=True)
        time.sleep(600)
    """
    process = start(python(code), output)
    eventually(lambda: output.read_text() == "deaf\n")

    assert process.stop(0.3) == -signal.SIGKILL


def test_what_a_process_leaves_behind_is_ended(output: Path) -> None:
    """Processes that a killed one had started do not live on."""
    code = """
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(child.pid, flush=True)
        time.sleep(600)
    """
    process = start(python(code), output)
    eventually(lambda: output.read_text().endswith("\n"))
    grandchild = int(output.read_text())
    assert is_alive(grandchild)

    process.kill()

    eventually(lambda: not is_alive(grandchild))


def test_signals_to_an_ended_process_do_nothing(output: Path) -> None:
    """There is always a moment in which one does not know yet that it has ended."""
    process = start(python("pass"), output)
    process.wait(10)

    process.send_signal(signal.SIGTERM)

    assert process.returncode == 0


def test_a_missing_program_is_an_error_at_once(output: Path) -> None:
    """It says which program, and no guard stays behind."""
    with pytest.raises(CannotStart, match="no-such-program"):
        start(["/no-such-program"], output)


def test_no_descriptors_are_left_open(output: Path) -> None:
    """A supervisor starts processes for weeks."""
    start(python("pass"), output).wait(10)
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        start(python("pass"), output).wait(10)
        with pytest.raises(CannotStart):
            start(["/no-such-program"], output)

    assert len(list(Path("/dev/fd").iterdir())) == before


PARENT = """
    import os, sys, threading, time
    from pathlib import Path
    from streams.devkit.lifeline import GuardedProcess

    def begin():
        with open(os.devnull, "wb") as nowhere:
            sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
            directory = Path(sys.argv[1])
            process = GuardedProcess(sleeper, output=nowhere, remove=directory)
        print(process.pid, process._guard.pid, flush=True)

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    if sys.argv[2] == "fork" and os.fork() == 0:
        os.close(1)
        time.sleep(5)
        os._exit(0)
    if sys.argv[2] == "exit":
        sys.stdin.readline()
        os._exit(1)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("manner", "number"),
    [
        ("", signal.SIGKILL),
        ("", signal.SIGTERM),
        ("fork", signal.SIGKILL),
        ("exit", None),
    ],
)
def test_nothing_outlives_the_process_that_started_it(
    tmp_path: Path, manner: str, number: int | None
) -> None:
    """Killed or exited: its processes end, their temporary data go.

    Not when the thread that started a process ends, though; and even when a child that
    the dead process forked keeps its pipes open.
    """
    data = tmp_path / "data"
    data.mkdir()
    parent = subprocess.Popen(
        python(PARENT, data, manner),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        pid, guard = map(int, parent.stdout.readline().split())
        time.sleep(0.7)  # longer than the guard looks away
        assert is_alive(pid), "it died with the thread that had started it"
        assert data.exists()

        if number is None:
            parent.stdin.write("\n")
            parent.stdin.flush()
        else:
            parent.send_signal(number)
        parent.wait(10)

    eventually(lambda: not is_alive(pid))
    eventually(lambda: not data.exists())
    eventually(lambda: not is_alive(guard))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel has to help")
def test_a_killed_guard_takes_its_process_along(output: Path) -> None:
    """Nobody would be there to end it later."""
    process = start(SLEEPER, output)

    process._guard.kill()
    process.wait(10)

    eventually(lambda: not is_alive(process.pid))
