"""Positions are checked on open: a gap or a re-execution is never silent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from faust.types import TP

from streams.runtime.exits import EXIT_MISFIT, die
from streams.runtime.origins import Origin

TRIES = 5
"""A follower that has just become leader may report an old end for a moment."""
PAUSE_S = 1.0


async def check_positions(
    monitor: AIOKafkaConsumer,
    grouped: AIOKafkaConsumer,
    positions: Mapping[TP, int | None],
) -> dict[TP, int]:
    """Compare the changelog's positions with the logs; return the logs' starts.

    Args:
        monitor: a consumer without a group, to ask for offsets.
        grouped: the app's consumer, to ask for the group's offsets.
        positions: what the changelog says of newly opened partitions; None when
            it says nothing.

    A position that is missing although the group has one, that lies below the log's
    start, or above its end, ends the process with a line that says which.
    """
    if not positions:
        return {}
    tps = [TopicPartition(*tp) for tp in positions]
    begins = await monitor.beginning_offsets(tps)
    for tp, position in positions.items():
        if position is None:
            await _refuse_lost_state(grouped, tp)
        elif position < begins[tp]:
            _stop(tp, position, f"the log starts at {begins[tp]}: records are gone")
    await _refuse_ends(monitor, positions)
    return {TP(*tp): begin for tp, begin in begins.items()}


async def _refuse_lost_state(grouped: AIOKafkaConsumer, tp: TP) -> None:
    committed = await grouped.committed(TopicPartition(*tp))
    if committed is not None:
        why = "the changelog has no position: it was made anew, or emptied"
        _stop(tp, committed, why)


async def _refuse_ends(
    monitor: AIOKafkaConsumer, positions: Mapping[TP, int | None]
) -> None:
    ends = await _ends(monitor, positions)
    for _ in range(TRIES):
        if all(at is None or at <= ends[tp] for tp, at in positions.items()):
            return
        await asyncio.sleep(PAUSE_S)
        ends = await _ends(monitor, positions)
    for tp, at in positions.items():
        if at is not None and at > ends[tp]:
            _stop(tp, at, f"the log ends at {ends[tp]}: the topic was made anew")


async def _ends(
    monitor: AIOKafkaConsumer, tps: Iterable[TP]
) -> dict[TopicPartition, int]:
    ends: dict[TopicPartition, int] = await monitor.end_offsets(
        [TopicPartition(*tp) for tp in tps]
    )
    return ends


def check_origin(tp: TP, position: int | None, found: str, present: str) -> None:
    """Compare the logs that a position was taken in with those that there are now.

    A topic that was made anew may have grown past the position: no offset tells then.

    Args:
        tp: the source partition.
        position: up to where it is folded.
        found: the origin that the changelog has of the position.
        present: what it would be if the position were taken now.
    """
    origin = Origin.read(found)
    if origin is not None and (why := origin.difference(Origin.read(present))):
        _stop(tp, position, why)


def _stop(tp: TP, position: int | None, why: str) -> None:
    die(
        f"{tp.topic}/{tp.partition}: this state is folded up to {position}, but {why}. "
        "Nothing was processed. If the topics cannot be restored, stop all "
        "coordinators: `planstream reset` says what it would move, and "
        "`planstream reset --write` moves it (docs/operations.md).",
        code=EXIT_MISFIT,
    )
