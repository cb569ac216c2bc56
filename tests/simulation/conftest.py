from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A process that crashes leaves coroutines behind that nobody will await."""
    ignored = pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
    for item in items:
        if "simulation" in item.path.parts:
            item.add_marker(ignored)


@pytest.fixture(autouse=True)
def crashed_processes_are_forgotten() -> Iterator[None]:
    """Collect them here: else the test that comes next is blamed for them."""
    yield
    gc.collect()
