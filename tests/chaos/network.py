"""What is done to the network of the processes that have a proxy before the broker."""

from __future__ import annotations

import asyncio

from tests.chaos.proxy import Proxy
from tests.chaos.schedule import Fault, Kind

LATENCY_S = 0.2
STALL_S = 20.0


class NetworkFaults:
    """Delays, stalls, breaks and loses their connections."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._alone = asyncio.Lock()

    async def harm(self, fault: Fault) -> None:
        """Do what the fault says, and mend it."""
        async with self._alone:
            match fault.kind:
                case Kind.DELAY_NETWORK:
                    await self._delay(fault.lasts_s)
                case Kind.STALL_NETWORK:
                    await self._proxy.stall(STALL_S)
                case Kind.RESET_NETWORK:
                    self._proxy.reset()
                case Kind.DEAFEN_NETWORK:
                    self._proxy.deafen()
                case _:
                    self._proxy.strand()

    async def _delay(self, seconds: float) -> None:
        self._proxy.latency_s = LATENCY_S
        await asyncio.sleep(seconds)
        self._proxy.latency_s = 0.0
