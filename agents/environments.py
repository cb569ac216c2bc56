"""The environments that step requests refer to: fetched once, kept for a while."""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from agents.failures import Failure, StepUnfit
from schemas import codec
from schemas.context import PlanSubmission
from schemas.errors import ErrorCode
from schemas.validation import Ids, identify

ReadSubmission = Callable[[int, int], Awaitable[bytes | None]]
"""Reads the value at a partition and an offset of the plans topic; None when nothing is
there any more. While the broker is away it waits."""
Texts = Mapping[str, str]
"""JSON values, as text, by name."""


class Place(NamedTuple):
    """Which submission, and where it lies."""

    partition: int
    offset: int
    ids: Ids


@dataclass(slots=True)
class _Fetch:
    """A fetch under way, and how many attempts wait for it."""

    task: asyncio.Task[Texts]
    waiting: int = 0


class Environments:
    """Finds the environment of a request that carries none.

    Many requests of a plan come at about the same time: they share one fetch, and what
    it brought. Of what was fetched, the longest unused is forgotten first.

    Args:
        read: See `ReadSubmission`.
        kept_bytes: Memory that environments may take while nothing uses them.
    """

    def __init__(self, read: ReadSubmission, kept_bytes: int) -> None:
        self._read = read
        self._most = self._room = kept_bytes
        self._kept: OrderedDict[Place, Texts] = OrderedDict()
        """The longest unused first."""
        self._fetches: dict[Place, _Fetch] = {}

    async def find(self, request: Mapping[str, Any]) -> Texts:
        """The environment that a `StepRequest` refers to.

        Raises:
            StepUnfit: It is gone, or what lies there is not the request's plan.
        """
        at = request["environment_at"]
        ids = Ids(request["plan_id"], request["execution_id"])
        place = Place(at["partition"], at["offset"], ids)
        kept = self._kept.get(place)
        if kept is None:
            return await self._share(place)
        self._kept.move_to_end(place)
        return kept

    async def _share(self, place: Place) -> Texts:
        fetch = self._fetches.get(place)
        if fetch is None:
            task = asyncio.get_running_loop().create_task(self._fetch(place))
            fetch = self._fetches[place] = _Fetch(task)
        fetch.waiting += 1
        try:
            # An attempt that is cut must not take the fetch of the others with it.
            return await asyncio.shield(fetch.task)
        finally:
            fetch.waiting -= 1
            if not fetch.waiting:
                # Else it would go on for as long as a broker is away. Whoever comes
                # now begins anew, rather than be cancelled with it.
                del self._fetches[place]
                fetch.task.cancel()

    async def _fetch(self, place: Place) -> Texts:
        texts = _environment_in(await self._read(place.partition, place.offset), place)
        if texts is None:
            raise _gone(place)
        self._keep(place, texts)
        return texts

    def _keep(self, place: Place, texts: Texts) -> None:
        size = _memory_of(texts)
        if size > self._most:  # alone: it would drive out all others
            return
        self._kept[place] = texts
        self._room -= size
        while self._room < 0:
            _, forgotten = self._kept.popitem(last=False)
            self._room += _memory_of(forgotten)


def _environment_in(value: bytes | None, place: Place) -> Texts | None:
    """The environment of a submission, if it is the one that was meant."""
    if value is None:
        return None
    try:
        _, fields = codec.decode_fields(value, PlanSubmission)
    except codec.DecodeError:
        return None
    environment: Texts = fields.get("environment", {})
    return environment if identify(fields) == place.ids else None


def _gone(place: Place) -> StepUnfit:
    """Fatal: no attempt would find it (§4: nothing else in the contract says so)."""
    where = {"partition": place.partition, "offset": place.offset}
    message = (
        "the environment is gone: the plans topic no longer has the submission at"
        f" partition {place.partition}, offset {place.offset}"
    )
    return StepUnfit(Failure.fatal(ErrorCode.UNKNOWN_ERROR, message, **where))


def _memory_of(texts: Texts) -> int:
    return sum(sys.getsizeof(each) for pair in texts.items() for each in pair)
