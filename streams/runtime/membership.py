"""Members of a consumer group: who they are, and how one leaves for good.

aiokafka knows neither version of these two requests that speaks of static members,
and its consumers never leave a group in which they are static. So they are here, in
the shape of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Bytes, Int16, Int32, Schema, String

from streams.broker import admin
from streams.config import Settings
from streams.exceptions import NoSuchMember, StillRunning

UNKNOWN_MEMBER_ID = 25
"""Kafka's code for a member that the group does not have, or no longer."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group, as the broker sees it.

    A static one that was stopped is one until its session has expired.
    """

    member_id: str
    instance_id: str | None
    """None when its membership is not static."""
    host: str
    partitions: tuple[tuple[str, int], ...]

    @property
    def name(self) -> str:
        """What it is called by."""
        return self.instance_id or self.member_id


async def members(settings: Settings, group: str) -> list[Member]:
    """List the members of a group, sorted by name.

    Raises:
        BrokerUnreachable: The broker does not answer.
    """
    async with _to_coordinator(settings, group) as (client, node):
        return await _members(client, node, group)


async def leave(settings: Settings, group: str, instance_id: str) -> Member:
    """Remove a static member at once: its partitions go to others without delay.

    Returns:
        The member that was removed.

    Raises:
        BrokerUnreachable: The broker does not answer.
        NoSuchMember: The group has no static member of this id.
    """
    async with _to_coordinator(settings, group) as (client, node):
        found = await _members(client, node, group)
        gone = [each for each in found if each.instance_id == instance_id]
        if gone:
            code = await _remove(client, node, group, instance_id)
            if code == 0:
                return gone[0]
            if code != UNKNOWN_MEMBER_ID:  # else its session has just expired
                raise for_code(code)
        names = [each.instance_id for each in found if each.instance_id is not None]
        raise NoSuchMember(group, instance_id, names)


async def refuse_members(settings: Settings, group: str) -> None:
    """Stop what may be done only while nobody is in a group.

    Raises:
        BrokerUnreachable: The broker does not answer.
        StillRunning: The group has members.
    """
    if found := await members(settings, group):
        raise StillRunning(group, [each.name for each in found])


@asynccontextmanager
async def _to_coordinator(
    settings: Settings, group: str
) -> AsyncIterator[tuple[AIOKafkaAdminClient, int]]:
    """Lend a client and the node that coordinates a group."""
    async with admin(settings) as client:
        yield client, await client.find_coordinator(group)


async def _members(client: AIOKafkaAdminClient, node: int, group: str) -> list[Member]:
    response = await client._send_request(_Describe([group]), node)
    ((code, _group, _state, _kind, _protocol, found, _operations),) = response.groups
    if code:
        raise for_code(code)
    return sorted(map(_member, found), key=lambda each: each.name)


def _member(row: Sequence[Any]) -> Member:
    member_id, instance_id, _client_id, host, _metadata, assignment = row
    partitions: tuple[tuple[str, int], ...] = ()
    if assignment:  # none before the first assignment
        decoded = ConsumerProtocolMemberAssignment.decode(assignment)
        partitions = tuple(sorted(map(tuple, decoded.partitions())))
    return Member(member_id, instance_id, host.removeprefix("/"), partitions)


async def _remove(
    client: AIOKafkaAdminClient, node: int, group: str, instance_id: str
) -> int:
    response = await client._send_request(_Leave(group, instance_id), node)
    if response.error_code:
        return int(response.error_code)
    return next((int(code) for _member, _instance, code in response.members), 0)


class _DescribeResponse(Response):
    API_KEY = 15
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group", String("utf-8")),
                ("state", String("utf-8")),
                ("protocol_type", String("utf-8")),
                ("protocol", String("utf-8")),
                (
                    "members",
                    Array(
                        ("member_id", String("utf-8")),
                        ("group_instance_id", String("utf-8")),
                        ("client_id", String("utf-8")),
                        ("client_host", String("utf-8")),
                        ("member_metadata", Bytes),
                        ("member_assignment", Bytes),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
    )


class _DescribeV4(RequestStruct):
    API_KEY = 15
    API_VERSION = 4
    RESPONSE_TYPE = _DescribeResponse
    SCHEMA = Schema(
        ("groups", Array(String("utf-8"))), ("include_authorized_operations", Boolean)
    )


class _Describe(Request[_DescribeV4]):
    API_KEY = 15

    def __init__(self, groups: list[str]) -> None:
        self._groups = groups

    def build(self, request_struct_class: type[_DescribeV4]) -> _DescribeV4:
        return request_struct_class(self._groups, False)


class _LeaveResponse(Response):
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(
                ("member_id", String("utf-8")),
                ("group_instance_id", String("utf-8")),
                ("error_code", Int16),
            ),
        ),
    )


class _LeaveV3(RequestStruct):
    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = _LeaveResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        (
            "members",
            Array(
                ("member_id", String("utf-8")), ("group_instance_id", String("utf-8"))
            ),
        ),
    )


class _Leave(Request[_LeaveV3]):
    API_KEY = 13

    def __init__(self, group: str, instance_id: str) -> None:
        self._group = group
        self._instance_id = instance_id

    def build(self, request_struct_class: type[_LeaveV3]) -> _LeaveV3:
        # Without a member id: whoever holds the instance id is meant.
        return request_struct_class(self._group, [("", self._instance_id)])
