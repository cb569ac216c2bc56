from uuid import UUID

import pytest

from streams.devkit import kafka


@pytest.mark.parametrize("first", range(256))
def test_a_cluster_id_is_never_taken_for_an_option(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """Whatever is drawn: one broker in 64 would not start."""
    drawn = UUID(bytes=bytes((first, *range(15))))
    monkeypatch.setattr(kafka.uuid, "uuid4", lambda: drawn)

    assert len(kafka.cluster_id()) == 22
    assert not kafka.cluster_id().startswith("-")
