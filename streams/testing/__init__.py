"""Tests of plans and handlers without a broker, in virtual time; docs/testing.md."""

from streams.testing.runs import AttemptMade, PlanRun
from streams.testing.tester import PlanTester
from streams.testing.virtual_time import NothingWillHappen, VirtualLoop

__all__ = [
    "AttemptMade",
    "NothingWillHappen",
    "PlanRun",
    "PlanTester",
    "VirtualLoop",
]
