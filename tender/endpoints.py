"""How a client reaches a server: the target, its transport security, and the channel's settings."""

import ipaddress
from dataclasses import dataclass

import grpc

# A page of 200 payments with all the metadata they may carry is larger than gRPC's 4 MiB.
RESPONSE_BYTES_MAX = 16 * 1024 * 1024

OPTIONS: tuple[tuple[str, int | str], ...] = (
    # Without it channels of equal settings share one HTTP/2 connection, which is the bottleneck.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", RESPONSE_BYTES_MAX),
    # Finds a silent peer within 30 s; no pings while idle, which servers answer with GOAWAY.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # A restarted server is found again at once, not after gRPC's default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Retries are the client's own, with the same request_id and within the caller's timeout.
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect; `credentials` is None for plaintext."""

    target: str
    credentials: grpc.ChannelCredentials | None


def tls_credentials(
    root_certificates: bytes | None = None,
    certificate: bytes | None = None,
    private_key: bytes | None = None,
) -> grpc.ChannelCredentials:
    """TLS against the given roots (else the system's), with a client certificate for mTLS."""
    return grpc.ssl_channel_credentials(root_certificates, private_key, certificate)


def endpoint(target: str, tls: grpc.ChannelCredentials | bool | None, insecure: bool) -> Endpoint:
    """Chooses plaintext only where the key cannot be overheard, or where the caller insists."""
    if not target:
        raise ValueError("The target is empty; give host:port.")
    if tls and insecure:
        raise ValueError("Choose either tls or insecure.")
    if insecure or (not tls and is_loopback(target)):
        return Endpoint(target, None)
    if tls is False:
        raise ValueError(f"{target} is not on this machine: say insecure=True to go without TLS.")
    chosen = tls if isinstance(tls, grpc.ChannelCredentials) else tls_credentials()
    return Endpoint(target, chosen)


def is_loopback(target: str) -> bool:
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    scheme, _, rest = target.rpartition("///") if "///" in target else ("", "", target)
    if not scheme and rest.startswith(("dns:", "ipv4:", "ipv6:")):
        rest = rest.partition(":")[2]
    return all(_host_is_loopback(each) for each in rest.split(","))


def _host_is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]") or address
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
