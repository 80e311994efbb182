"""Asks for the addresses of a host and gives only what may be connected to.

The HTTP client connects to what it is given here and asks nobody else, so that a name which answers
otherwise a moment later (DNS rebinding) leads nowhere else.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from services.webhooks import addresses

LOOKUPS_MAX: Final = 64
"""At once, in threads of their own: a name server that hangs holds up nobody but these."""
LOOKUP_SECONDS_MAX: Final = 5.0


class AddressRefused(OSError):
    """A name leads to an address that is not on the public internet. Says neither."""


class Found(NamedTuple):
    """An address of a host."""

    family: int
    host: str


Lookup: TypeAlias = Callable[[str], Sequence[Found]]


def look_up(host: str) -> Sequence[Found]:
    """Ask the system for the addresses of a host. Raises OSError."""
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [Found(family, str(place[0])) for family, _, _, _, place in answers]


class GuardedResolver(AbstractResolver):
    """Refuses a name if any of its addresses may not be connected to."""

    def __init__(self, *, allow_loopback: bool = False, lookup: Lookup = look_up) -> None:
        self._allow_loopback = allow_loopback
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(LOOKUPS_MAX, "webhooks-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises AddressRefused, or OSError if there are none."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(LOOKUP_SECONDS_MAX):
            found = await loop.run_in_executor(self._threads, self._lookup, host)
        if not found:
            raise OSError("no address")
        # One bad one among good ones is reason enough: which is tried first is not ours to say.
        if not all(self._may_be_used(one.host) for one in found):
            raise AddressRefused("not a public address")
        return [
            ResolveResult(
                hostname=host,
                host=one.host,
                port=port,
                family=one.family,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one in found
            if family in (socket.AF_UNSPEC, one.family)
        ]

    async def close(self) -> None:
        """Let go of the threads; a lookup under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _may_be_used(self, address: str) -> bool:
        if addresses.is_public(address):
            return True
        return self._allow_loopback and addresses.is_loopback(address)
