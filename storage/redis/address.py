"""Where Redis or Valkey is: one node, a master that Sentinels know, or a Cluster."""

import enum
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


class BadAddress(ValueError):
    """The URL has no form that is known; the text shows nothing of it."""


class Kind(enum.Enum):
    """How the node is found that takes writes."""

    NODE = ""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Address(NamedTuple):
    """A parsed URL. `hosts` are the node, the Sentinels, or some nodes of the Cluster."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    username: str
    password: str
    tls: bool
    database: int
    # The master's name, for Sentinels.
    service: str


def parse(url: str) -> Address:
    """Read `redis://`, `redis+sentinel://h1,h2/service` or `redis+cluster://h1,h2`.

    `rediss` in place of `redis` means TLS. Raises BadAddress.
    """
    try:
        parts = urlsplit(url)
        scheme, _, kind_text = parts.scheme.partition("+")
        kind = Kind(kind_text)
        userinfo, _, hosts_text = parts.netloc.rpartition("@")
        username, _, password = userinfo.partition(":")
        hosts = tuple(_host(text, kind) for text in hosts_text.split(","))
        path = parts.path.strip("/").split("/")
        service = path.pop(0) if kind is Kind.SENTINEL else ""
        database = int(path[0]) if path and path[0] else 0
    except ValueError:
        raise BadAddress("not a URL of Redis") from None
    if scheme not in ("redis", "rediss") or (kind is Kind.SENTINEL and not service):
        raise BadAddress("not a URL of Redis")
    return Address(
        kind,
        hosts,
        unquote(username),
        unquote(password),
        scheme == "rediss",
        database if kind is not Kind.CLUSTER else 0,
        service,
    )


def _host(text: str, kind: Kind) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, str(_SENTINEL_PORT if kind is Kind.SENTINEL else _PORT)
    if not host:
        raise ValueError("no host")
    return host.strip("[]"), int(port)
