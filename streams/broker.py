"""Connects to the broker, or says in one line why not."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from streams.config import Settings
from streams.exceptions import BrokerUnreachable

CONNECTION_ERRORS = (KafkaError, OSError, TimeoutError)
"""What aiokafka raises when the network or the broker is at fault."""


class Startable(Protocol):
    """A client of aiokafka: producer, consumer or admin client."""

    async def start(self) -> None:
        """Connect."""


async def connect(client: Startable, settings: Settings) -> None:
    """Start a client of aiokafka.

    Raises:
        BrokerUnreachable: No broker answered within `connect_timeout_ms`.
    """
    try:
        await _wholly(_start(client, settings))
    except asyncio.CancelledError:
        await _close(client)
        raise


async def disconnect(client: Startable) -> None:
    """Close a client of aiokafka; what the broker has to say about it is no trouble."""
    await _wholly(_close(client))


async def _wholly(work: Coroutine[Any, Any, None]) -> None:
    """Await something to its end, also when who waits is cancelled meanwhile.

    aiokafka forgets open sockets when it is cancelled while it connects or closes.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def _start(client: Startable, settings: Settings) -> None:
    try:
        with _quiet():
            async with asyncio.timeout(settings.connect_timeout_ms / 1000):
                await client.start()
    except CONNECTION_ERRORS as error:
        await _close(client)
        raise BrokerUnreachable(settings.broker, reason_of(error)) from error


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Lend an admin client; what goes wrong with the broker has one name.

    Raises:
        BrokerUnreachable: The broker does not answer, or stops to.
    """
    client = AIOKafkaAdminClient(**settings.connection())
    await connect(client, settings)
    try:
        yield client
    except CONNECTION_ERRORS as error:
        raise BrokerUnreachable(settings.broker, reason_of(error)) from error
    finally:
        await client.close()


def quieten() -> None:
    """Keep aiokafka's own lines off the terminal: our errors say it in one."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep aiokafka from logging, as several errors, what we raise as one."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


async def _close(client: Startable) -> None:
    """Close what did not start: producers and consumers stop, admins close."""
    close = getattr(client, "stop", None) or getattr(client, "close", None)
    if close is not None:
        with suppress(*CONNECTION_ERRORS):
            await close()


def reason_of(error: BaseException) -> str:
    """Say in a few words why the broker did not do what it was asked."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, KafkaConnectionError):
        return "nothing there accepts a connection"
    return str(error) or type(error).__name__
