"""What the broker tests share: a broker that a test may harm."""

from collections.abc import Iterator

import pytest

from streams.devkit.kafka import EmbeddedKafka


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedKafka]:
    """Give a broker of the module's own, which its tests may freeze."""
    with EmbeddedKafka(quick=True) as embedded:
        yield embedded
