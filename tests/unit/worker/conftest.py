from __future__ import annotations

import pytest

from tests.unit.worker.system import remember_others


@pytest.fixture(autouse=True)
def _others() -> None:
    """The broker of the whole session is not the worker's child."""
    remember_others()
