"""What all clients of Kafka have in common: which brokers, and how to be let in by them."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from kit.settings import PREFIX, BadSettings, KafkaSettings

Properties = dict[str, str | int | float | bool]
"""What librdkafka takes. They may hold secrets: not to be logged."""

RECONNECT_MS_MAX: Final = 2_000
"""A broker that is back is found within that, instead of within the library's 10 s."""

COMMON: Final[Mapping[str, str | int | float | bool]] = {
    # Brokers behind a balancer that forgets idle connections.
    "socket.keepalive.enable": True,
    "reconnect.backoff.max.ms": RECONNECT_MS_MAX,
}

_FOR_OTHERS: Final = 0o007
_OF_SECURITY: Final = (
    *("security.", "sasl.", "ssl."),
    *("enable.ssl.certificate.verification", "https.ca."),
)
"""How the names of properties begin that the file may give; all others are the code's to choose."""


def of(settings: KafkaSettings, client_id: str) -> Properties:
    """Return the properties of librdkafka for a server with these settings. Raises BadSettings."""
    return common(settings.kafka_bootstrap, client_id, settings.kafka_security_file)


def common(bootstrap: str, client_id: str, security_file: Path | None = None) -> Properties:
    """Return the properties of librdkafka that every client starts from.

    Raises BadSettings, which shows no value.
    """
    if not bootstrap:
        raise BadSettings(f"{PREFIX}KAFKA_BOOTSTRAP: names no broker")
    return {
        **COMMON,
        "bootstrap.servers": bootstrap,
        "client.id": client_id,
        **(security(security_file) if security_file is not None else {}),
    }


def security(path: Path) -> Properties:
    """Return the properties of a TOML file that only its owner and group can read.

    `sasl.mechanism = "SCRAM-SHA-512"` and `"sasl.mechanism" = "SCRAM-SHA-512"` are the same. Raises
    BadSettings.
    """
    where = f"{PREFIX}KAFKA_SECURITY_FILE: {path}"
    try:
        if path.stat().st_mode & _FOR_OTHERS:
            raise BadSettings(f"{where}: holds secrets, so others may not read it (mode 0600)")
        content = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{where}: {type(error).__name__}") from None
    except tomllib.TOMLDecodeError:
        # Its message may quote the line.
        raise BadSettings(f"{where}: is not TOML") from None
    found: Properties = {}
    for name, value in _flat(content, ""):
        if not name.startswith(_OF_SECURITY):
            raise BadSettings(f"{where}: {name} is no property of security")
        if not isinstance(value, str | int | bool):
            raise BadSettings(f"{where}: {name} is neither text nor a number nor true or false")
        found[name] = value
    return found


def _flat(table: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    """Yield each property under its whole name: dots make tables in TOML."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
