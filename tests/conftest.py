"""What all tests share: a broker, and names that collide with no other test's."""

import logging
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import settings

from benchmarks.machine import is_compiled
from streams.devkit.kafka import EmbeddedKafka
from tests.scratch import write_to_memory

# A shared machine is slow now and then; pytest-timeout bounds a test all the same.
settings.register_profile("planstream", deadline=None, print_blob=True)
settings.load_profile("planstream")


@dataclass(frozen=True)
class Broker:
    """The broker of this test session."""

    bootstrap: str
    embedded: EmbeddedKafka | None
    """None when it is the one of PLANSTREAM_BROKER, which is not ours to kill."""


def pytest_configure() -> None:
    """Decide where temporary files lie, before there is one; silence the client.

    Under faults it warns of each of them, and hides what tests print of themselves.
    """
    write_to_memory()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def pytest_report_header() -> str:
    """Say where they lie: in memory, or on a disk that may be slow."""
    return f"temporary files: {tempfile.gettempdir()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for the session's broker, so that none forgets to.

    What replaces a part of a module that C calls directly is left out where it does.
    """
    unfit = pytest.mark.skip(reason="it replaces what is compiled here")
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.broker)
        if is_compiled() and item.get_closest_marker("interpreted"):
            item.add_marker(unfit)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """Give the broker of PLANSTREAM_BROKER, else a real one of the session's own.

    A test that needs a broker fails when there is none; it is never skipped.
    """
    if address := os.environ.get("PLANSTREAM_BROKER"):
        yield Broker(address, None)
        return
    with EmbeddedKafka(quick=True) as embedded:
        yield Broker(embedded.bootstrap, embedded)


@pytest.fixture
def topic_prefix() -> str:
    """Give a prefix for topics and groups that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}."
