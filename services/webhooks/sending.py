"""Sends a delivery by HTTP: to a checked address, within its time, and reading next to nothing."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from services.webhooks import urls
from services.webhooks.resolving import AddressRefused
from services.webhooks.schedule import Result

SECONDS_MAX: Final = 10.0
"""From the lookup of the name to the answer's headers."""
ANSWER_BYTES_MAX: Final = 4_096
ANSWER_SECONDS_MAX: Final = 1.0
"""Of an answer's body: read so that the connection can be used again; nobody looks at it."""
HEADER_BYTES_MAX: Final = 8_190
HEADERS_MAX: Final = 64
IDLE_SECONDS_MAX: Final = 2.0
"""An idle connection is kept for the next delivery: shorter than receivers keep theirs."""

STATUS: Final = "STATUS"
REDIRECT: Final = "REDIRECT"
TIMEOUT: Final = "TIMEOUT"
CONNECTION: Final = "CONNECTION"
TLS: Final = "TLS"
DNS: Final = "DNS"
ADDRESS_REFUSED: Final = "ADDRESS_REFUSED"
BAD_RESPONSE: Final = "BAD_RESPONSE"
CAUSES: Final = (*(STATUS, REDIRECT, TIMEOUT, CONNECTION, TLS, DNS, ADDRESS_REFUSED, BAD_RESPONSE),)

_RETRY_AFTER_DIGITS_MAX: Final = 6


class Sender:
    """Belongs to the event loop in which it is opened."""

    def __init__(
        self,
        rules: urls.Rules,
        resolver: AbstractResolver,
        *,
        connections_max: int,
        seconds_max: float = SECONDS_MAX,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` is for receivers whose certificates are of other roots than the system's."""
        self._rules = rules
        self._seconds_max = seconds_max
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=resolver,
                use_dns_cache=False,
                limit=connections_max,
                keepalive_timeout=IDLE_SECONDS_MAX,
                ssl=tls or True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # Ours is around all of it.
            timeout=aiohttp.ClientTimeout(total=None),
            # Proxies of the environment would connect to what nobody checked.
            trust_env=False,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
            skip_auto_headers=("accept", "accept-encoding"),
        )

    async def send(self, url: str, headers: Mapping[str, str], body: str) -> Result:
        """Post a body once, and say what came of it; never raises for what the receiver does."""
        began = time.monotonic()
        try:
            urls.checked(url, self._rules)
            async with asyncio.timeout(self._seconds_max):
                answer = await self._post(url, headers, body)
        except urls.BadUrl:
            return Result(0, ADDRESS_REFUSED, 0.0)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Result(0, explained(error), time.monotonic() - began)
        seconds = time.monotonic() - began
        await _end(answer)
        retry_after = _seconds(answer.headers.get("retry-after", ""))
        return Result(answer.status, _cause_of(answer.status), seconds, retry_after)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _post(
        self, url: str, headers: Mapping[str, str], body: str
    ) -> aiohttp.ClientResponse:
        return await self._session.post(
            URL(url, encoded=True), data=body.encode(), headers=headers, allow_redirects=False
        )


async def _end(answer: aiohttp.ClientResponse) -> None:
    """Read what little there should be of the body, or else close the connection.

    The status has said it all: what follows may be slow, cut off or without an end.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await answer.content.readexactly(ANSWER_BYTES_MAX)
    except asyncio.IncompleteReadError:
        answer.release()
    except (aiohttp.ClientError, OSError):
        answer.close()
    else:
        answer.close()


def explained(error: Exception) -> str:
    """Return why there was no answer; what the error says may hold addresses, and is dropped."""
    match error:
        case TimeoutError():
            return TIMEOUT
        case aiohttp.ClientConnectorDNSError() if isinstance(error.os_error, AddressRefused):
            return ADDRESS_REFUSED
        case AddressRefused() | aiohttp.InvalidURL():
            return ADDRESS_REFUSED
        case aiohttp.ClientConnectorDNSError():
            return DNS
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError() | ssl.SSLError():
            return TLS
        case aiohttp.ClientOSError() | aiohttp.ServerDisconnectedError():
            return CONNECTION
        case aiohttp.ClientError() | ValueError():
            return BAD_RESPONSE
        case _:
            return CONNECTION


def _cause_of(status: int) -> str:
    if 200 <= status < 300:
        return ""
    return REDIRECT if 300 <= status < 400 else STATUS


def _seconds(text: str) -> float:
    """Return what Retry-After says in s; dates are not taken."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _RETRY_AFTER_DIGITS_MAX
    return float(text) if is_number else 0.0
