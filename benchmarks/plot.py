"""A plot as an SVG picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """A measurement of one load."""

    label: str
    plans_per_s: float
    p50_ms: float
    p99_ms: float


def latency_against_throughput(title: str, points: Sequence[Point]) -> str:
    """Draws p50 and p99, on logarithmic scales, over the rate that was reached."""
    # Here, so that --help, and the environments of other engines, do without it.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    rates = [each.plans_per_s for each in points]
    axes.loglog(rates, [each.p50_ms for each in points], marker="o", label="p50")
    axes.loglog(rates, [each.p99_ms for each in points], marker="o", label="p99")
    for each in points:
        axes.annotate(
            each.label,
            (each.plans_per_s, each.p50_ms),
            xytext=(0, -12),
            textcoords="offset points",
            fontsize="x-small",
            ha="center",
        )
    axes.set(title=title, xlabel="plans/s", ylabel="latency, ms")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()
