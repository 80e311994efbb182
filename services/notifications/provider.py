"""Sends text and push messages through a provider's HTTP interface (docs/notifications.md)."""

import asyncio
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from services.notifications.kinds import Channel
from services.notifications.outcomes import Away, Later, Outcome, Refused, Sent
from services.notifications.sending import Sendable

CONNECT_SECONDS_MAX: Final = 5.0
ANSWER_SECONDS_MAX: Final = 15.0
ANSWER_BYTES_MAX: Final = 64 * 1_024
REFERENCE_LENGTH_MAX: Final = 255
RETRY_AFTER_SECONDS_MAX: Final = 3_600.0

BAD_ANSWER: Final = "HTTP_BAD_ANSWER"

# Too early, too slow, a conflict with itself, too much at a time: another time it may go.
_LATER: Final = frozenset({408, 409, 425, 429, 500})
# A key that is not taken, an address that is none, a door that is shut: no message is to blame.
_AWAY: Final = frozenset({401, 403, 404, 407, 502, 503, 504})


@dataclass(frozen=True)
class ProviderSettings:
    """Where a provider is, and the key that opens it."""

    url: str
    token_file: Path
    ca_file: str | None = None
    answer_seconds_max: float = field(default=ANSWER_SECONDS_MAX)


class ProviderSender:
    """Gives the messages of a channel to a provider."""

    def __init__(self, channel: Channel, settings: ProviderSettings) -> None:
        self._channel = channel
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def send(self, sendable: Sendable) -> Outcome:
        """Send one."""
        try:
            # Read each time: a key that is changed needs no restart.
            token = (await asyncio.to_thread(self._settings.token_file.read_text)).strip()
        except (OSError, UnicodeDecodeError):
            return Away("TOKEN_MISSING")
        headers = {
            "Authorization": f"Bearer {token}",
            "Idempotency-Key": sendable.notification_id,
            "Content-Type": "application/json",
        }
        try:
            async with self._opened().post(
                self._settings.url,
                data=body(self._channel, sendable),
                headers=headers,
                allow_redirects=False,
            ) as answer:
                said = await _read(answer)
                return judge(answer.status, answer.headers.get("Retry-After", ""), said)
        except aiohttp.ClientConnectorError:
            return Away("CONNECTION_FAILED")
        except aiohttp.ConnectionTimeoutError:
            return Away("TIMEOUT")
        except TimeoutError:
            # It may have been taken: it is sent again, under the same key.
            return Later("TIMEOUT")
        except (aiohttp.ClientError, OSError):
            return Later("CONNECTION_LOST")
        except ValueError:
            # A token with a line end in it would be a header of its own.
            return Away("TOKEN_INVALID")

    async def close(self) -> None:
        """Close what is kept open."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(
                total=self._settings.answer_seconds_max, connect=CONNECT_SECONDS_MAX
            )
            # What the environment says of proxies and netrc is not what the settings say.
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(
                    ssl=ssl.create_default_context(cafile=self._settings.ca_file)
                ),
            )
        return self._session


def body(channel: Channel, sendable: Sendable) -> bytes:
    """Return what a provider gets; the same message gives the same bytes."""
    content = {
        "id": sendable.notification_id,
        "channel": channel.value,
        "to": sendable.address,
        "title": sendable.parts.subject,
        "text": sendable.parts.text,
        "language": sendable.language,
    }
    return json.dumps(content, ensure_ascii=False).encode()


def judge(status: int, retry_after: str, said: bytes | None) -> Outcome:
    """Return what an answer means; `said` is None if there was more of it than there may be."""
    code = f"HTTP_{status}"
    pause = _seconds(retry_after)
    if 200 <= status < 300:
        reference = _reference(said)
        # Who does not say by what they know it has perhaps not taken it: the key tells repeats.
        return Later(BAD_ANSWER) if reference is None else Sent(reference)
    if status in _LATER:
        return Later(code, pause)
    if status in _AWAY or not 400 <= status < 500:
        # Redirects too: an address is set by whoever runs this, not by who answers there.
        return Away(code, pause)
    return Refused(code)


def _reference(said: bytes | None) -> str | None:
    if said is None:
        return None
    try:
        content: Any = json.loads(said)
    except (ValueError, RecursionError):
        return None
    reference = content.get("id") if isinstance(content, dict) else None
    if not isinstance(reference, str) or not 0 < len(reference) <= REFERENCE_LENGTH_MAX:
        return None
    return reference if reference.isprintable() else None


def _seconds(retry_after: str) -> float:
    if not retry_after.isascii() or not retry_after.isdigit() or len(retry_after) > 9:
        return 0.0
    return min(float(retry_after), RETRY_AFTER_SECONDS_MAX)


async def _read(answer: aiohttp.ClientResponse) -> bytes | None:
    said = await answer.content.read(ANSWER_BYTES_MAX + 1)
    rest = said
    while rest and len(said) <= ANSWER_BYTES_MAX:
        rest = await answer.content.read(ANSWER_BYTES_MAX + 1 - len(said))
        said += rest
    return said if len(said) <= ANSWER_BYTES_MAX else None
