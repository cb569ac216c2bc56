"""What is measured, and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.shapes import Shape, parse

IN_FLIGHT: Mapping[str, tuple[int, ...]] = {
    "chain-3": (1, 100, 1000),
    "fan-10": (1, 100, 400),
    "fan-1000": (1, 10),
    "chain-100": (1, 100),
}
"""The shapes of the full run; 1 in flight is the unloaded system."""

QUICK_IN_FLIGHT: Mapping[str, tuple[int, ...]] = {
    "chain-3": (1, 100, 1000),
    "fan-10": (1, 100, 400),
    "fan-1000": (1,),
    "chain-100": (1,),
}

OTHER_IN_FLIGHT = (1, 100)
"""For shapes that are in neither table."""


@dataclass(frozen=True)
class Pace:
    """How long things take, in seconds."""

    settle_s: float
    """Load before anything is measured: the broker's compiler needs some."""
    warm_up_s: float
    """The part of each scenario that does not count."""
    duration_s: float
    """The part that does."""

    def line(self) -> str:
        """Says how long each scenario takes."""
        warm_up = f"{self.warm_up_s:g} s of warm-up"
        return f"Closed loops: {self.duration_s:g} s each after {warm_up}"


FULL = Pace(settle_s=10, warm_up_s=4, duration_s=14)
QUICK = Pace(settle_s=3, warm_up_s=1, duration_s=3)


@dataclass(frozen=True)
class Scenario:
    """One measurement: a shape, with so many plans of it in flight."""

    shape: Shape
    in_flight: int
    pace: Pace

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.shape.name} × {self.in_flight}"


def scenarios(
    pace: Pace,
    shapes: Sequence[str] = (),
    in_flight: Sequence[int] = (),
    rounds: int = 1,
    *,
    quick: bool = False,
) -> list[Scenario]:
    """Lists what is to be measured, in order.

    Args:
        pace: How long each measurement takes.
        shapes: Names of shapes; the usual ones when empty.
        in_flight: How many plans in flight; the usual numbers when empty.
        rounds: How often all of it is measured.
        quick: Leave out what takes long.

    Raises:
        ValueError: a shape is unknown, or a number below 1.
    """
    if rounds < 1 or any(number < 1 for number in in_flight):
        raise ValueError("rounds and plans in flight are at least 1")
    usual = QUICK_IN_FLIGHT if quick else IN_FLIGHT
    chosen = [parse(name) for name in shapes or usual]
    once = (
        Scenario(shape, number, pace)
        for shape in chosen
        for number in _numbers(in_flight, usual.get(shape.name))
    )
    return unloaded_last(once) * rounds


def unloaded_last(found: Iterable[Scenario]) -> list[Scenario]:
    """Puts what is alone in flight behind everything else.

    A broker in service has been under load, and its compiler is done.
    """
    return sorted(found, key=lambda each: each.in_flight == 1)


def _numbers(asked: Iterable[int], usual: tuple[int, ...] | None) -> tuple[int, ...]:
    return tuple(asked) or usual or OTHER_IN_FLIGHT
