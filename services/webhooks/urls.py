"""Which URLs a webhook may have. Pure: what a host name leads to is asked in `resolving`."""

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Final, NamedTuple

URL_LENGTH_MAX: Final = 2_048
PORTS: Final = frozenset({443, 8443})
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}

NOT_A_URL: Final = "NOT_A_URL"
NOT_HTTPS: Final = "NOT_HTTPS"
CREDENTIALS: Final = "CREDENTIALS"
NOT_A_NAME: Final = "NOT_A_NAME"
PORT: Final = "PORT"
PRIVATE_ADDRESS: Final = "PRIVATE_ADDRESS"

PROBLEMS: Final = {
    NOT_A_URL: "Must be a URL of at most 2,048 plain ASCII characters, without a fragment.",
    NOT_HTTPS: "Must begin with https://.",
    CREDENTIALS: "Must not have credentials in it.",
    NOT_A_NAME: "Must have a whole host name, and not an address or a local name.",
    PORT: "Must have a port that is allowed: 443 or 8443, unless the operator allows others.",
    PRIVATE_ADDRESS: "Must lead to public addresses alone.",
}
"""What is said of a URL to whoever gave it."""

# So strict that no two programs can read it differently: no bracket, backslash, blank or percent
# sign may be before the path, and the name is of letters, digits and dashes.
_FORM: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<authority>[^/?#\\\s]*)"
    r"(?P<rest>[/?][!$-;=?-Z_a-z~]*)?",
    re.ASCII,
)
_PLACE: Final = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME_LENGTH_MAX: Final = 253
_LOCAL_ENDS: Final = frozenset(
    {"localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "onion"}
    | {"arpa", "test", "invalid", "example"}
)
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class BadUrl(Exception):
    """A URL that webhooks are not sent to; `cause` is a key of PROBLEMS."""

    def __init__(self, cause: str) -> None:
        super().__init__(PROBLEMS[cause])
        self.cause = cause


@dataclass(frozen=True)
class Rules:
    """What an operator may loosen."""

    ports: Set[int] = PORTS
    allow_loopback: bool = False
    """http and this machine, on any port, for developers; never in production."""


class Target(NamedTuple):
    """Where a URL leads."""

    scheme: str
    host: str
    port: int


def checked(url: str, rules: Rules) -> Target:
    """Return where a URL leads. Raises BadUrl."""
    if not 0 < len(url) <= URL_LENGTH_MAX:
        raise BadUrl(NOT_A_URL)
    found = _FORM.fullmatch(url)
    if found is None:
        raise BadUrl(NOT_A_URL)
    scheme, authority = found["scheme"].lower(), found["authority"].lower()
    if "@" in authority:
        raise BadUrl(CREDENTIALS)
    place = _PLACE.fullmatch(authority)
    is_loopback = rules.allow_loopback and place is not None and place["host"] in _LOOPBACK_HOSTS
    if scheme != "https" and not (scheme == "http" and is_loopback):
        raise BadUrl(NOT_HTTPS)
    if place is None or not (is_loopback or _is_whole_name(place["host"])):
        raise BadUrl(NOT_A_NAME)
    port = int(place["port"] or _DEFAULT_PORTS[scheme])
    if port not in rules.ports and not (is_loopback and 0 < port < 65_536):
        raise BadUrl(PORT)
    return Target(scheme, place["host"].strip("[]"), port)


def _is_whole_name(host: str) -> bool:
    """Say whether a host is a name of the public DNS, as far as its letters tell."""
    labels = host.split(".")
    if len(labels) < 2 or len(host) > _NAME_LENGTH_MAX or labels[-1] in _LOCAL_ENDS:
        return False
    # A last label that begins with a digit may be read as an address: 127.1, 0x7f.1, 1.2.3.4.
    if not labels[-1][:1].isalpha():
        return False
    return all(_LABEL.fullmatch(label) for label in labels)


def is_loopback(host: str) -> bool:
    """Say whether a host that was checked is this machine."""
    return host in {name.strip("[]") for name in _LOOPBACK_HOSTS}
