"""What folds cost by themselves."""

from benchmarks.folding.command import IN_FLIGHT, measure, shown
from benchmarks.folding.measures import bytes_a_plan
from benchmarks.folding.partition import Partition
from benchmarks.shapes import chain, fan
from benchmarks.submissions import Template

NOW_MS = 1_767_225_600_000


def test_plans_are_driven_to_their_ends() -> None:
    """Each step is asked for once, when those before it have been answered."""
    partition, template = Partition(NOW_MS), Template.of(fan(2), NOW_MS)
    asked = partition.admit([template.make().value for _ in range(3)])
    counts = []
    while asked:
        counts.append(len(asked))
        asked = partition.answer(asked)
    assert counts == [3, 6, 3]
    assert not partition.state.tables.plans
    assert len(partition.state.tables.registry) == 3


def test_an_open_chain_of_three_is_small() -> None:
    """Targets: at most 6 KB in the coordinator; what is idle takes its rows alone."""
    assert 2000 < bytes_a_plan(chain(3), 1000, idle=False) < 4000
    assert 800 < bytes_a_plan(chain(3), 1000, idle=True) < 1300


def test_all_is_measured_and_shown() -> None:
    """Two kinds of bytes, the way back, and a closed loop of each size."""
    found = measure(chain(1), 10, 1, in_flight=(5, 6))
    assert len(found) == 3 + len(IN_FLIGHT)
    assert all(value > 0 for value in found.values())
    text = shown(found).markdown()
    assert "open plan when idle, bytes" in text
    assert "5 in flight" in text
