from __future__ import annotations

import pytest

from tests.unit.worker import sleepers
from tests.unit.worker.system import remember_others


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    """What the handlers of other tests did is forgotten."""
    sleepers.log.lines.clear()


@pytest.fixture(autouse=True)
def others() -> None:
    """The broker of the whole session is not the worker's child."""
    remember_others()
