from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from agents.tables import POSITION, Tables
from streams.runtime import origins as module
from streams.runtime import positions
from streams.runtime.origins import Origin, TopicWatch

THEN = Origin("plans-1", "changelog-1", 0)


class Died(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def _die(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(reason: str, *_: Any, code: int) -> None:
        raise Died(f"{code}: {reason}")

    monkeypatch.setattr(module, "die", die)
    monkeypatch.setattr(positions, "die", die)
    monkeypatch.setattr(module, "LOOK_S", 0.0)


class Topics:
    """Answers for a broker: the ids of topics, in turn; an exception is raised."""

    def __init__(self, *answers: dict[str, str | None] | Exception) -> None:
        self.answers = list(answers)

    async def __call__(self, _: Any, names: Iterable[str]) -> dict[str, str | None]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {name: answer[name] for name in names}


def watch(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> TopicWatch:
    """A watch over the topic "plans", of which a broker says this in turn."""
    monkeypatch.setattr(module, "topic_ids", Topics(*answers))
    return TopicWatch(None, ["plans"], 78, "Do something.")


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([{"plans": "1"}, {"plans": "2"}], "plans was made anew"),
        ([{"plans": "1"}, {"plans": None}], "plans was deleted"),
        ([{"plans": None}], "no topic plans"),
    ],
)
def test_a_topic_that_goes_ends_the_process(
    answers: list[Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its name, the exit code, and what to do."""

    async def scenario() -> None:
        watched = watch(monkeypatch, *answers)
        await watched.begin()
        await watched.run()

    with pytest.raises(Died, match=f"78: .*{says}.* Do something"):
        asyncio.run(scenario())


def test_a_broker_that_is_away_or_behind_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One look that finds no topic is the view of one broker; none is no view."""
    same, gone = {"plans": "1"}, {"plans": None}
    away = KafkaConnectionError()
    answers = [same, gone, same, away, gone, same, {"plans": "2"}]

    async def scenario() -> None:
        watched = watch(monkeypatch, *answers)
        await watched.begin()
        assert [await watched.look() for _ in range(5)] == [
            False,
            True,
            True,
            False,
            True,
        ]

    asyncio.run(scenario())


def test_positions_tell_their_logs() -> None:
    """In the changelog and back; one that was set by hand is any log's."""
    tables, again = Tables(), Tables()
    tables.stamps = {"plans": str(THEN)}
    tables.put_position("plans", 7)
    tables.put_position("commands", 3)
    for key, value in tables.take_changes().items():
        again.load(key, value)
    again.load(POSITION + b"halts", b"5")
    assert again.positions == {"plans": 7, "commands": 3, "halts": 5}
    assert Origin.read(again.origins["plans"]) == THEN
    assert Origin.read(again.origins["commands"]) is None
    assert Origin.read(again.origins["halts"]) is None


@pytest.mark.parametrize(
    ("present", "says"),
    [
        (THEN._replace(source="plans-2"), "the topic was made anew"),
        (THEN._replace(changelog="changelog-2"), "the changelog was made anew"),
        (THEN._replace(start=4), "the changelog starts at 4"),
    ],
)
def test_a_position_of_another_log_is_refused(present: Origin, says: str) -> None:
    """Even though it lies inside the log that there is now."""
    tp = TP("plans", 1)
    positions.check_origin(tp, 7, str(THEN), str(THEN))
    positions.check_origin(tp, 7, "", str(present))
    with pytest.raises(Died, match=f"78: plans/1.*folded up to 7, but {says}"):
        positions.check_origin(tp, 7, str(THEN), str(present))
