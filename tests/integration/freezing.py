"""A broker that is there, and answers nobody for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streams.devkit.kafka import EmbeddedKafka


@contextmanager
def frozen(broker: EmbeddedKafka) -> Iterator[None]:
    """Freeze a broker until the block ends, however it ends."""
    broker.pause()
    try:
        yield
    finally:
        broker.resume()
