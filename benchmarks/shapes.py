"""The graphs of the plans that are measured."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_STEPS = 1024
"""A plan has no more (§1)."""


@dataclass(frozen=True)
class Shape:
    """A graph: for each step, the places of the steps that it depends on."""

    name: str
    depends_on: tuple[tuple[int, ...], ...]

    @property
    def steps(self) -> int:
        """How many steps a plan of this shape has."""
        return len(self.depends_on)


def chain(length: int) -> Shape:
    """Steps one after the other."""
    first: tuple[int, ...] = ()
    later = ((number,) for number in range(length - 1))
    return Shape(f"chain-{length}", (first, *later))


def ready(count: int) -> Shape:
    """Steps that wait for nothing: all are ready at once."""
    return Shape(f"ready-{count}", ((),) * count)


def fan(width: int) -> Shape:
    """One step, then `width` side by side, then one that waits for all of them."""
    wide = tuple(range(1, width + 1))
    return Shape(f"fan-{width}", ((), *((0,) for _ in wide), wide))


_KINDS = {"chain": chain, "fan": fan}


def parse(text: str) -> Shape:
    """Reads a shape's name: `chain-3`, `fan-10`.

    Raises:
        ValueError: the name is no shape's, or its plans would not be admitted.
    """
    match = re.fullmatch(r"(chain|fan)-([1-9][0-9]{0,3})", text)
    if match is None:
        raise ValueError(f"{text!r} is no shape: write chain-N or fan-N")
    shape = _KINDS[match[1]](int(match[2]))
    if shape.steps > MAX_STEPS:
        raise ValueError(f"{text} has {shape.steps} steps, a plan at most {MAX_STEPS}")
    return shape
