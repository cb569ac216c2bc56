"""What processes use, and on which machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks import machine
from benchmarks.processes import Peaks, family, usages
from tests.scratch import DISK

BUSY = "sum(i * i for i in range(4_000_000)); print(flush=True); sys.stdin.read()"
PARENT = "subprocess.run([sys.executable, '-c', 'import sys; ' + sys.argv[1]])"


def test_a_process_counts_with_its_descendants() -> None:
    """A worker has processes for plain functions; this one is measured alone."""
    code = f"import subprocess, sys; {PARENT}"
    with subprocess.Popen(
        [sys.executable, "-c", code, BUSY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = usages({"own": os.getpid(), "child": child.pid})
        members = list(family([child.pid]))
        assert [each.pid for each in family([os.getpid()])] == [os.getpid()]
        child.communicate(b"")
    assert len(members) == 2
    assert found["child"].cpu_s > 0.05
    assert found["child"].rss_bytes > 2**20
    assert found["own"].rss_bytes > 2**20


def test_a_process_that_is_gone_is_an_error() -> None:
    """A figure of 0 would look like a good one."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    with pytest.raises(ProcessLookupError, match="coordinator"):
        usages({"coordinator": child.pid})


def test_the_facts_about_the_machine_are_complete() -> None:
    """Figures without them mean nothing."""
    facts = machine.facts()
    assert facts["cores"] >= 1
    assert facts["memory_mb"] > 100
    assert facts["cpu"]
    assert facts["compiled"] is machine.is_compiled()
    assert facts["packages"]["aiokafka"]
    assert str(Path.home()) not in str(facts)


def test_the_cpu_is_named_by_its_model() -> None:
    """Where the kernel tells none, by the architecture."""
    assert machine.cpu_model("processor\t: 0\nmodel name\t: Chip: 9\n") == "Chip: 9"
    assert machine.cpu_model("") == os.uname().machine
    assert machine.memory_mb("MemFree: 3 kB\nMemTotal: 2048 kB\n") == 2
    assert machine.memory_mb("") is None


def test_the_most_memory_is_remembered_from_a_time_on() -> None:
    """Also what a process had for a moment; not what it had before."""
    code = (
        "import sys\n"
        "for size in (64, 32):\n"
        "    sys.stdin.readline()\n"
        "    x = b'x' * (size * 2**20)\n"
        "    del x\n"
        "    print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        peaks = []
        for _ in range(2):
            counted = Peaks({"child": child.pid})
            child.stdin.write("\n")
            child.stdin.flush()
            child.stdout.readline()
            peaks.append(counted.mb()["child"])
        child.communicate("")
    assert peaks[0] > 64
    assert 32 < peaks[1] < 64


def test_what_is_written_to_disks_is_counted() -> None:
    """Not everywhere: memory that looks like a disk is none."""
    before = usages({"own": os.getpid()})["own"].written_bytes
    with tempfile.TemporaryFile(dir=DISK) as file:
        file.write(b"x" * 2**22)
        file.flush()
        os.fsync(file.fileno())
    after = usages({"own": os.getpid()})["own"].written_bytes
    if before is None or after is None or after == before:
        pytest.skip("this system does not count writes, or the file was not on a disk")
    assert after - before >= 2**22
