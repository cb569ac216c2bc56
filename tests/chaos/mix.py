"""How often each kind of plan comes."""

from __future__ import annotations

import random
from pathlib import Path

from tests.chaos import nested, plans, shapes
from tests.chaos.made import Draft
from tests.chaos.plans import Recipe

KINDS: dict[Recipe, float] = {
    plans.chain: 200,
    plans.fan: 140,
    plans.slow: 80,
    plans.plain: 70,
    plans.flaky: 80,
    plans.late_once: 30,
    plans.exhausted: 40,
    plans.skipped: 40,
    plans.halted: 40,
    plans.nothing: 20,
    plans.unresolved: 20,
    plans.too_slow: 20,
    plans.clinging: 6,
    plans.overdue: 20,
    plans.unknown: 12,
    plans.refused: 20,
    plans.blocking: 8,
    plans.warned: 20,
    plans.ahead: 8,
    plans.behind: 8,
    plans.oversize: 2,
    plans.hungry: 3,
    plans.deadly_alone: 3,
    # Each takes a worker down, with all that it runs.
    plans.deadly: 0.7,
    nested.nested: 25,
    nested.failing_child: 8,
    nested.skipped_child: 8,
    nested.abandoned: 8,
    shapes.wide: 3,
    shapes.recorded: 5,
}
"""Against the others: of the sum, which is about a thousand."""

TIMED = {"chain", "fan", "plain"}
"""Kinds whose latency is told: they wait for nothing but their steps."""


def draw(dice: random.Random, where: Path) -> tuple[str, Draft]:
    """A plan of a kind that the dice choose; `where` is a directory to leave marks."""
    (recipe,) = dice.choices(list(KINDS), list(KINDS.values()))
    return recipe.__name__, recipe(dice, where)
