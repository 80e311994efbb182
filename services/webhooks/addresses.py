"""Which addresses a webhook may be sent to: those of the public internet, and no others. Pure."""

import ipaddress
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# Listed here, and not asked of `ipaddress.is_global`, whose answers differ between versions of
# Python. From IANA's special-purpose registries; each with what it is for.
_CLOSED_4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT; some clouds keep their metadata there
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, the metadata of clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_CLOUD_4: Final = frozenset(
    # Public by their number, and answered by the cloud that a machine runs in.
    map(ipaddress.IPv4Address, ("168.63.129.16",))
)
# What is public in IPv6 lies in here, so that IPv4-mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96,
# 64:ff9b:1::/48), loopback, local, link-local and multicast addresses are out without being named.
_OPEN_6: Final = ipaddress.IPv6Network("2000::/3")
_CLOSED_6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them, which carries IPv4 addresses
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which carries IPv4 addresses
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)


def is_public(text: str) -> bool:
    """Say whether an address, as a resolver gives it, is on the public internet."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address not in _CLOUD_4 and not any(address in net for net in _CLOSED_4)
    if address.scope_id is not None:
        return False
    return address in _OPEN_6 and not any(address in net for net in _CLOSED_6)


def is_loopback(text: str) -> bool:
    """Say whether an address leads to this machine and nowhere else."""
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
