"""What processes use, read from `/proc`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import machine
from benchmarks.processes import PAGE_BYTES, TICKS_PER_S, Usage, parse_stat, usages


def stat(pid: int, name: str, parent: int, ticks: tuple[int, int], pages: int) -> str:
    """Writes a line of `/proc/<pid>/stat`."""
    middle = f"{parent} 1 1 0 -1 4194304 100 0 0 0"
    tail = f"0 0 20 0 1 0 12345 99999999 {pages} 18446744073709551615 1 1"
    return f"{pid} ({name}) S {middle} {ticks[0]} {ticks[1]} {tail}\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Makes a `/proc`: a driver with a broker and a worker, that has two children."""
    lines = [
        stat(10, "python", 1, (100, 50), 10),
        stat(11, "java", 10, (300, 0), 20),
        stat(12, "python", 10, (0, 200), 30),
        stat(13, "python", 12, (1, 0), 1),
        stat(14, "a) R 11 (b", 13, (0, 1), 1),
    ]
    for line in lines:
        folder = tmp_path / line.split()[0]
        folder.mkdir()
        (folder / "stat").write_text(line)
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    (tmp_path / "99").mkdir()  # ended while the folder was being listed
    return tmp_path


def test_a_name_with_parentheses_does_not_shift_the_entries() -> None:
    """The kernel writes names as they are."""
    found = parse_stat(stat(14, "a) R 11 (b", 13, (3, 4), 2))
    assert (found.pid, found.parent) == (14, 13)
    assert found.cpu_ticks == 7
    assert found.rss_bytes == 2 * PAGE_BYTES


def test_a_process_counts_with_its_descendants(proc: Path) -> None:
    """All the way down."""
    found = usages({"worker": 12}, proc)
    assert found == {"worker": Usage(202 / TICKS_PER_S, 32 * PAGE_BYTES)}


def test_a_descendant_with_a_name_of_its_own_counts_once(proc: Path) -> None:
    """The driver has started the others, and is not charged for them."""
    found = usages({"driver": 10, "broker": 11, "worker": 12}, proc)
    assert found["driver"] == Usage(150 / TICKS_PER_S, 10 * PAGE_BYTES)
    assert found["broker"] == Usage(300 / TICKS_PER_S, 20 * PAGE_BYTES)
    assert found["worker"] == Usage(202 / TICKS_PER_S, 32 * PAGE_BYTES)


def test_a_process_that_is_gone_is_an_error(proc: Path) -> None:
    """A figure of 0 would look like a good one."""
    with pytest.raises(ProcessLookupError, match="coordinator"):
        usages({"coordinator": 77}, proc)


def test_this_machine_is_measured() -> None:
    """A child that spends CPU time is charged to its parent, more than before."""
    busy = "sum(i * i for i in range(4_000_000)); print(flush=True)"
    code = f"import sys; {busy}; sys.stdin.read()"
    before = usages({"own": os.getpid()})["own"]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        alone = usages({"own": os.getpid(), "child": child.pid})
        after = usages({"own": os.getpid()})["own"]
        child.communicate(b"")
    # Whole ticks, whose differences as floats may be a hair too small.
    spent_s = round(after.cpu_s - before.cpu_s, 3)
    assert spent_s >= alone["child"].cpu_s > 0.05
    assert after.rss_bytes > alone["child"].rss_bytes > 2**20
    assert alone["own"].rss_bytes < after.rss_bytes


def test_the_facts_about_the_machine_are_complete() -> None:
    """Figures without them mean nothing."""
    facts = machine.facts()
    assert facts["cores"] >= 1
    assert facts["memory_mb"] > 100
    assert facts["cpu"]
    assert facts["packages"]["aiokafka"]
    assert str(Path.home()) not in str(facts)


def test_the_cpu_is_named_by_its_model() -> None:
    """Where the kernel tells none, by the architecture."""
    assert machine.cpu_model("processor\t: 0\nmodel name\t: Chip: 9\n") == "Chip: 9"
    assert machine.cpu_model("") == os.uname().machine
    assert machine.memory_mb("MemFree: 3 kB\nMemTotal: 2048 kB\n") == 2
    assert machine.memory_mb("") is None
