"""Keys lie where other producers would put them."""

from __future__ import annotations

import random

import pytest
from aiokafka.partitioner import murmur2

from agents.partitioner import partition_of


@pytest.mark.parametrize(
    ("key", "hash_"),
    [
        # From the tests of Kafka's own Utils.murmur2.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_are_hashed_as_the_java_client_does(key: bytes, hash_: int) -> None:
    """A plan lies where every Java producer would put it (R36)."""
    assert partition_of(key, 2**31) == hash_ & 0x7FFFFFFF


def test_keys_of_any_length_are_hashed_as_aiokafka_does() -> None:
    """The shorter way does the same as the longer one."""
    dice = random.Random(7)
    for _ in range(2_000):
        key = dice.randbytes(dice.randrange(60))
        count = dice.randrange(1, 100)
        assert partition_of(key, count) == (murmur2(key) & 0x7FFFFFFF) % count


@pytest.mark.parametrize("size", range(60))
def test_the_largest_words_are_hashed_as_others(size: int) -> None:
    """Compiled, it has integers of 64 bits: none overflows."""
    key = b"\xff" * size
    assert partition_of(key, 1024) == (murmur2(key) & 0x7FFFFFFF) % 1024
