from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.plan import MAX_STEPS, Plan
from streams.plan_graph import Graph, Measure, graph_of
from streams.plan_mermaid import mermaid
from streams.plan_tree import tree
from tests.unit.schemas.factories import step, submission

STEP = re.compile(r"[│├└─↓ ]*\[(\d+)\] ")


def graph(*depends_on: list[int], **members: Any) -> Graph:
    """The graph of a plan, by each step's dependencies; steps are a, b, c …."""
    steps = [step(number, *before) for number, before in enumerate(depends_on)]
    plan = {**submission()["plan"], "steps": steps, **members}
    names = {chr(97 + n): each["id"] for n, each in enumerate(steps[:26])}
    return graph_of(Plan.model_validate(plan), names)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any graph without cycles, its steps in any order."""
    count = draw(st.integers(1, 12))
    place = draw(st.permutations(range(count)))
    earlier = [
        [other for other in range(count) if place[other] < place[number]]
        for number in range(count)
    ]
    chosen = [
        draw(st.lists(st.sampled_from(each), unique=True)) if each else []
        for each in earlier
    ]
    return graph(*chosen)


def test_a_tree_of_text() -> None:
    """A chain stays in its column, a fork branches, a join refers to what is drawn."""
    drawn = list(tree(graph([], [0], [0], [1, 2], [3], [])))
    assert drawn == [
        "checkout: 6 steps, 4 deep",
        "├─ [0] a charge-card *",
        "│  ├─ [1] b charge-card *",
        "│  │  ↓ [3] d charge-card ← [1] b, [2] c *",
        "│  │  ↓ [4] e charge-card *",
        "│  └─ [2] c charge-card",
        "│       → [3] d",
        "└─ [5] f charge-card",
        "critical path (*), by number of steps: 4 of 6 steps: a → b → d → e",
    ]


@given(graphs())
def test_every_step_is_drawn_once(any_graph: Graph) -> None:
    """And no graph takes more than two lines a step."""
    lines = list(tree(any_graph))
    steps = [int(match[1]) for match in map(STEP.match, lines) if match]
    count = len(any_graph.plan.steps)
    assert sorted(steps) == list(range(count))
    assert len(lines) <= 2 * count + 3


@given(graphs())
def test_the_critical_path_is_a_path_and_none_is_longer(any_graph: Graph) -> None:
    """From a step without dependencies, along them, as long as the plan is deep."""
    path = any_graph.critical.steps
    assert any_graph.dependencies[path[0]] == []
    for before, after in pairwise(path):
        assert before in any_graph.dependencies[after]
        assert any_graph.levels[after] > any_graph.levels[before]
    assert len(path) == max(any_graph.levels) + 1


def test_the_critical_path_by_limits() -> None:
    """When every step has a limit of its own, these are what is added up."""
    steps = [
        step(0, timeout_ms=10),
        step(1, 0, timeout_ms=10),
        step(2, 1, timeout_ms=10),
        step(3, 0, timeout_ms=500),
    ]
    plan = {**submission()["plan"], "steps": steps, "estimated_duration_ms": 90}
    found = graph_of(Plan.model_validate(plan))
    assert found.critical.measure is Measure.LIMITS
    assert (list(found.critical.steps), found.critical.limit_ms) == ([0, 3], 510)
    path, estimate = list(tree(found))[-2:]
    assert "by step timeouts: 2 of 4 steps, 510 ms at most" in path
    assert estimate == (
        "estimated_duration_ms of the whole plan: 90, of its timeout_ms 300000"
    )


SHAPES = {
    "chain": [[number - 1] if number else [] for number in range(MAX_STEPS)],
    "fan": [[], *([0] for _ in range(MAX_STEPS - 2)), [*range(1, MAX_STEPS - 1)]],
    "layers": [
        [*range(number // 16 * 16 - 16, number // 16 * 16)] if number >= 16 else []
        for number in range(MAX_STEPS)
    ],
    "comb": [[max(0, number - 2)] if number else [] for number in range(MAX_STEPS)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_largest_plans_are_drawn(shape: str) -> None:
    """1,024 steps: no recursion, no line for every pair, nothing too wide to print."""
    largest = graph(*SHAPES[shape])
    lines = list(tree(largest))
    assert sum(bool(STEP.match(line)) for line in lines) == MAX_STEPS
    assert len(lines) <= 2 * MAX_STEPS + 2
    assert max(map(len, lines)) < 400
    assert sum(1 for _ in mermaid(largest)) >= 2 * MAX_STEPS


def test_a_chart() -> None:
    """Nodes by number, arrows along the dependencies, the critical path marked."""
    assert list(mermaid(graph([], [0], []))) == [
        "flowchart TD",
        '  s0["a<br/>charge-card"]',
        '  s1["b<br/>charge-card"]',
        '  s2["c<br/>charge-card"]',
        "  s0 --> s1",
        "  classDef critical stroke-width:3px",
        "  class s0,s1 critical",
    ]


def test_what_an_action_is_called_cannot_break_the_drawing() -> None:
    """Neither the terminal, nor Mermaid's syntax, nor the page it is shown on."""
    odd = 'x"]\n\x1b[2J<script>#'
    plan = {**submission()["plan"], "steps": [step(0, action=odd)]}
    drawn = graph_of(Plan.model_validate(plan))
    assert "\x1b" not in "".join(tree(drawn))
    assert len(list(tree(drawn))) == 3
    (node,) = [line for line in mermaid(drawn) if "s0[" in line]
    assert node.count('"') == 2
    assert node.count("<") == 1
