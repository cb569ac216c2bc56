import uuid
from uuid import UUID

import pytest

from streams.devkit import kafka


def test_a_cluster_id_is_never_taken_for_an_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is drawn: one broker in 64 would not start."""
    for first in range(256):
        drawn = UUID(bytes=bytes((first, *range(15))))
        monkeypatch.setattr(uuid, "uuid4", lambda drawn=drawn: drawn)

        assert len(kafka.cluster_id()) == 22
        assert not kafka.cluster_id().startswith("-")
