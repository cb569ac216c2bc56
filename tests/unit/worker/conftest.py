from __future__ import annotations

import pytest

from tests.unit.worker import sleepers


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    """What the handlers of other tests did is forgotten."""
    sleepers.log.lines.clear()
