"""Settings of both servers: environment over a TOML file over defaults, and secrets from files."""

import os
import re
import socket
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from kit import addresses, api_keys, rate_limits, shard_settings, topics
from kit.shard_map import SHARD_FORM

PREFIX: Final = "TENDER_"
FILE_VARIABLE: Final = "TENDER_SETTINGS_FILE"
_TOKEN_LENGTH_MIN: Final = 32  # The internal token opens the ledger: too long to guess.
_SEAL_KEY_BYTES_MIN: Final = 16
_URL_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]*@")
_URL_PASSWORD_PARAMETER: Final = re.compile(r"(?i)\b(password|sslpassword)=[^&\s]*")


class BadSettings(Exception):
    """The settings do not fit; the text names each one and never shows its value."""


def _address(value: str) -> str:
    addresses.host_and_port(value)
    return value


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _split(value: object) -> object:
    return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


def _places(value: tuple[str, ...]) -> tuple[str, ...]:
    for place in value:
        name, _, address = place.partition("=")
        if not name.isidentifier():
            raise ValueError("each is NAME=HOST:PORT")
        addresses.host_and_port(address)
    return value


Address = Annotated[str, AfterValidator(_address)]
# A URL may hold a password: it is masked wherever settings are shown, and may come from a file
# named by the same variable with _FILE at its end.
SecretUrl = Annotated[str, "secret"]
SecretUrls = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), "secret"]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Places = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_places)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Ports = Annotated[tuple[Port, ...], NoDecode, BeforeValidator(_split)]
WebhookTopics = Annotated[
    tuple[Literal["payments", "transfers", "accounts"], ...], NoDecode, BeforeValidator(_split)
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]{2,8}$")]
LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(BaseSettings):
    """What both servers have; a subclass names its section of the file."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )
    section: ClassVar[str]

    internal_token_file: Path = Field(
        Path("secrets/internal_token"),
        description="File with the token that the gateway shows to the processor.",
    )
    redis_url: SecretUrl = Field(
        "",
        description="Redis or Valkey: `redis://`, `redis+sentinel://host,host/service` or "
        "`redis+cluster://host,host`, `rediss` for TLS; empty means without.",
    )
    redis_timeout_ms: int = Field(
        10,
        ge=1,
        le=1_000,
        description="The longest that a call waits for Redis, before it goes on without; "
        "a probable repeat asks twice.",
    )
    region: Name = Field("eu", description="Region that ids carry.")
    log_level: LogLevel = Field("info", description="debug, info, warning or error.")
    drain_seconds: float = Field(
        10, ge=0, le=600, description="How long running calls may take to end at a stop."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls), _TomlFile(settings_cls)

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the settings or say, without values, what is wrong with them."""
        try:
            return cls(**given)
        except ValidationError as error:
            problems = (
                f"{PREFIX}{'.'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
                for problem in error.errors(include_input=False, include_url=False)
            )
            raise BadSettings("\n".join(problems)) from None

    def effective(self) -> dict[str, Any]:
        """Return the settings as they apply, with secrets masked, for people to read."""
        return {name: _shown(getattr(self, name)) for name in type(self).model_fields}

    def internal_token(self) -> str:
        token = _read_secret(self.internal_token_file)
        if len(token) < _TOKEN_LENGTH_MIN or not token.isascii() or not token.isprintable():
            raise BadSettings(f"{self.internal_token_file}: at least {_TOKEN_LENGTH_MIN} letters")
        return token

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.effective()})"

    __str__ = __repr__


class KafkaSettings(Settings):
    """What a server has that talks to Kafka; `storage.kafka.config.of` makes properties of it."""

    kafka_bootstrap: str = Field("", description="Kafka brokers; empty means without.")
    kafka_security_file: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        None,
        description="TOML file of librdkafka's properties for TLS and SASL, which others may not "
        "read; empty means plain text.",
    )
    topic_prefix: Annotated[
        str, Field(pattern=topics.PREFIX_FORM, max_length=topics.PREFIX_LENGTH_MAX)
    ] = Field("", description="Put before the name of every topic.")


class GatewaySettings(Settings):
    """What the gateway needs."""

    section = "gateway"

    gateway_listen: Address = Field("127.0.0.1:50051", description="Where callers connect.")
    processor_targets: Names = Field(
        ("127.0.0.1:50052",),
        min_length=1,
        description="Where the processors listen, separated by commas; each is asked which lanes "
        "it holds.",
    )
    metrics_listen: Address = Field(
        "127.0.0.1:9464", description="Where Prometheus finds /metrics and /healthz."
    )
    api_key_pepper_file: Path = Field(
        Path("secrets/api_key_pepper"), description="File with the pepper of API keys, in hex."
    )
    gateway_workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Gateway processes on this port, one per core; worker i shows its metrics on "
        "the port of metrics_listen plus i.",
    )
    gateway_edge: Literal["grpc", "http2"] = Field(
        "http2",
        description="Transport of callers: http2, our own, or grpc, the library's, at five times "
        "the CPU for each call.",
    )
    reflection: bool = Field(False, description="Show the contract to tools like buf curl.")
    max_in_flight: int = Field(
        4_096, ge=1, le=50_000, description="Commands that may wait for their outcome."
    )
    max_in_flight_per_tenant: int = Field(
        3_072,
        ge=1,
        le=50_000,
        description="Commands of one tenant among them, so that others always find room.",
    )
    write_timeout_ms: int = Field(
        10_000, ge=100, le=120_000, description="The longest a changing call may take."
    )
    read_timeout_ms: int = Field(
        5_000, ge=100, le=120_000, description="The longest a reading call may take."
    )
    quiet_seconds: float = Field(
        0.5, ge=0, le=60, description="Between NOT_SERVING and the stop, for balancers to see it."
    )

    rate_limits_file: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        None,
        description="JSON file of rate limits per tenant, method and terminal; empty means none.",
    )
    services: Places = Field(
        (),
        description="Services that answer calls of their own, as NAME=HOST:PORT with commas "
        "between: webhooks, notifications, reporting, operations.",
    )
    replay_cache: bool = Field(
        False,
        description="Answer repeated calls from Redis, if there is one; first calls cost more.",
    )
    replay_cache_seconds: int = Field(
        300, ge=1, le=86_400, description="How long Redis keeps an answer for that."
    )

    def service_targets(self) -> dict[str, str]:
        """Return where each service listens, by its name."""
        return {name: where for name, _, where in (place.partition("=") for place in self.services)}

    def rate_limits(self) -> tuple[rate_limits.RateLimit, ...]:
        """Return the limits that callers are held to. Raises BadSettings."""
        if self.rate_limits_file is None:
            return ()
        try:
            return rate_limits.read(self.rate_limits_file)
        except rate_limits.BadLimits as bad:
            raise BadSettings(f"{PREFIX}RATE_LIMITS_FILE: {bad}") from None

    def api_key_pepper(self) -> bytes:
        try:
            return api_keys.pepper_from_hex(_read_secret(self.api_key_pepper_file))
        except ValueError as error:
            raise BadSettings(f"{self.api_key_pepper_file}: {error}") from None


class ProcessorSettings(Settings):
    """What the processor needs."""

    section = "processor"

    database_url: SecretUrl = Field(
        "postgresql://localhost/tender",
        description="The shard's primary, as the role that owns the lane's tables.",
    )
    query_database_url: SecretUrl = Field(
        "", description="The primary as a role that only reads; database_url when empty."
    )
    replica_database_urls: SecretUrls = Field(
        (), description="Standbys for reads, separated by commas."
    )
    shards_file: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        None,
        description="JSON file of the shards to serve, which others may not read; "
        "empty means the one of TENDER_SHARD, with the URLs above.",
    )
    directory_database_url: SecretUrl = Field(
        "",
        description="The database with the shard map and the API keys, as a role that only reads; "
        "the first shard's when empty.",
    )
    peer_targets: Names = Field(
        (),
        description="Other processors, to share the lanes with and to carry money to; separated by "
        "commas, this one among them or not.",
    )
    kafka_bootstrap: str = Field("", description="Kafka brokers; empty means without.")
    processor_listen: Address = Field("127.0.0.1:50052", description="Where gateways connect.")
    processor_pipe_listen: Annotated[Address | None, BeforeValidator(_none_if_empty)] = Field(
        None,
        description="Where gateways may bring commands at less cost than by gRPC, on the same host "
        "as they know it by; empty means by gRPC alone, port 0 any free one.",
    )
    metrics_listen: Address = Field(
        "127.0.0.1:9465", description="Where Prometheus finds /metrics and /healthz."
    )
    shard: Annotated[str, Field(pattern=SHARD_FORM)] = Field("s1", description="Name of the shard.")
    queue_commands_max: int = Field(
        20_000, ge=1, le=1_000_000, description="Commands that may wait for a batch."
    )
    cache_items_max: int = Field(
        400_000,
        ge=1_000,
        le=100_000_000,
        description="Accounts, payments and request keys kept in memory, about 1 kB each.",
    )
    batch_commands_max: int = Field(300, ge=1, le=1_000, description="Commands in one batch.")
    request_key_retention_days: int = Field(
        30, ge=1, le=3_650, description="How long a request_id is remembered."
    )
    lane_owner: str = Field(
        default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}",
        min_length=1,
        max_length=200,
        description="Name of this process, by which lanes are shared and owned: another for each, "
        "and best the same after a restart; host:pid by default.",
    )
    balance_cache: bool = Field(
        False,
        description="Keep accounts and merchants in Redis as they are committed, for reads.",
    )
    balance_cache_seconds: int = Field(
        300, ge=1, le=86_400, description="How long Redis keeps what does not change."
    )
    replica_staleness_seconds_max: float = Field(
        5,
        gt=0,
        le=3_600,
        description="A standby that may be further behind than that answers no reads while the "
        "primary does.",
    )
    handover_after_seconds: float = Field(
        10,
        ge=0,
        le=3_600,
        description="How long another processor must be heard without a break before lanes that "
        "belong with it are handed to it.",
    )
    sweep_interval_seconds: float = Field(
        1, gt=0, le=3_600, description="Between two sweeps of expired holds and old request keys."
    )

    @property
    def is_alone(self) -> bool:
        """Whether there is nothing but the one shard of these settings."""
        return self.shards_file is None and not self.directory_database_url

    def shards(self) -> tuple[shard_settings.ShardSettings, ...]:
        """Return the shards that this processor may serve, at least one. Raises BadSettings."""
        return _shards(
            self.shards_file,
            self.shard,
            self.region,
            self.database_url,
            query_database_url=self.query_database_url,
            replica_database_urls=self.replica_database_urls,
        )


class RelaySettings(KafkaSettings):
    """What the relay needs."""

    section = "relay"

    database_url: SecretUrl = Field(
        "postgresql://localhost/tender",
        description="The shard's primary, as the role that may publish its journal.",
    )
    shards_file: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        None,
        description="JSON file of the shards to serve, which others may not read; "
        "empty means the one of TENDER_SHARD, with the URLs above.",
    )
    metrics_listen: Address = Field(
        "127.0.0.1:9466", description="Where Prometheus finds /metrics and /healthz."
    )
    shard: Annotated[str, Field(pattern=SHARD_FORM)] = Field("s1", description="Name of the shard.")
    archive_folder: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        None,
        description="Where journal rows are archived, on storage that all relays of a shard reach; "
        "empty keeps them all in the database.",
    )
    journal_retention_days: float = Field(
        30.0,
        ge=0.0,
        le=36_500.0,
        description="How long journal rows stay in the database once they are archived.",
    )

    def shards(self) -> tuple[shard_settings.ShardSettings, ...]:
        """Return the shards to publish, at least one. Raises BadSettings."""
        return _shards(self.shards_file, self.shard, self.region, self.database_url)


class ServiceSettings(KafkaSettings):
    """What every service behind Kafka needs."""

    database_url: SecretUrl = Field(
        "postgresql://localhost/tender", description="The service's own database, as its own role."
    )
    listen: Address = Field("127.0.0.1:50061", description="Where gateways connect.")
    metrics_listen: Address = Field(
        "127.0.0.1:9467", description="Where Prometheus finds /metrics and /healthz."
    )
    environment: Literal["production", "development"] = Field(
        "production", description="development allows what is for developers alone."
    )


class WebhookSettings(ServiceSettings):
    """What the webhooks service needs."""

    section = "webhooks"

    listen: Address = Field("127.0.0.1:50063", description="Where gateways connect.")
    metrics_listen: Address = Field(
        "127.0.0.1:9469", description="Where Prometheus finds /metrics and /healthz."
    )
    webhooks_keys_file: Path = Field(
        Path("secrets/webhooks_keys"),
        description="File of the keys that secrets of webhook endpoints are encrypted with, "
        "`name:hex` a line; the first encrypts.",
    )
    webhooks_topics: WebhookTopics = Field(
        ("payments",),
        min_length=1,
        description="Topics that webhooks tell of: payments, transfers, accounts.",
    )
    webhooks_concurrency: int = Field(
        64, ge=1, le=1_000, description="Webhook endpoints that are delivered to at once."
    )
    webhooks_ports: Ports = Field(
        (443, 8443), min_length=1, description="Ports that webhooks may go to."
    )
    webhooks_pending_max: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        description="Deliveries that may wait for one endpoint; what is more is given up.",
    )
    webhooks_log_days: int = Field(
        14, ge=1, le=365, description="How long deliveries are kept once they ended."
    )
    webhooks_dead_days: float = Field(
        5,
        gt=0,
        le=365,
        description="An endpoint without a success for so long is disabled.",
    )
    webhooks_dead_failures: int = Field(
        20,
        ge=1,
        le=100_000,
        description="But only after so many attempts.",
    )
    webhooks_allow_loopback: bool = Field(
        False,
        description="Let webhooks go to this machine, by http too; refused in production.",
    )

    @model_validator(mode="after")
    def _loopback_is_for_developers(self) -> Self:
        if self.webhooks_allow_loopback and self.environment != "development":
            raise ValueError(
                "TENDER_WEBHOOKS_ALLOW_LOOPBACK is for TENDER_ENVIRONMENT=development alone"
            )
        return self


class ReportingSettings(ServiceSettings):
    """What the reporting service needs."""

    section = "reporting"

    listen: Address = Field("127.0.0.1:50064", description="Where gateways connect.")
    metrics_listen: Address = Field(
        "127.0.0.1:9470", description="Where Prometheus finds /metrics and /healthz."
    )


class OperationSettings(ServiceSettings):
    """What the asynchronous way in needs."""

    section = "operations"

    processor_targets: Names = Field(
        ("127.0.0.1:50052",),
        min_length=1,
        description="Where the processors listen, separated by commas; each is asked which lanes "
        "it holds.",
    )
    accept_loss: bool = Field(
        False,
        description="Accept commands also where the brokers keep nothing when they end: for "
        "development alone.",
    )
    direct_tenants: Names = Field(
        (),
        description="Tenants for whom producers may write to the topic of commands themselves, "
        "separated by commas; whoever may write there can then pay in their names.",
    )
    seal_keys_file: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        None,
        description="File with the keys of seals, one in hex per line: the first seals, all are "
        "taken. Empty means one made from the internal token.",
    )
    commands_under_way_max: int = Field(
        2_000, ge=1, le=50_000, description="Accepted commands that each lane has at a time."
    )
    outcome_retention_days: int = Field(
        30, ge=1, le=3_650, description="How long GetOperation tells what became of a command."
    )

    def seal_keys(self) -> tuple[bytes, ...]:
        """Return the keys of the file, none without one. Raises BadSettings."""
        if self.seal_keys_file is None:
            return ()
        try:
            keys = tuple(bytes.fromhex(line) for line in _read_secret(self.seal_keys_file).split())
        except ValueError:
            keys = ()
        if not keys or any(len(key) < _SEAL_KEY_BYTES_MIN for key in keys):
            raise BadSettings(
                f"{self.seal_keys_file}: keys of at least {_SEAL_KEY_BYTES_MIN} bytes in hex"
            )
        return keys


class NotificationSettings(ServiceSettings):
    """What the notifications service needs. A channel whose server is not named is not used."""

    section = "notifications"

    listen: Address = Field("127.0.0.1:50062", description="Where gateways connect.")
    metrics_listen: Address = Field(
        "127.0.0.1:9468", description="Where Prometheus finds /metrics and /healthz."
    )

    smtp_host: str = Field("", description="Mail server; empty means no e-mails.")
    smtp_port: int = Field(587, ge=1, le=65_535, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="starttls, tls from the first byte, or none, which only a server on the same "
        "machine gets.",
    )
    smtp_username: str = Field("", description="Login at the mail server; empty means none.")
    smtp_password_file: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="File with its password."
    )
    smtp_ca_file: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="PEM roots to trust there; empty means the system's."
    )
    mail_sender: str = Field("", description="Address that e-mails are from.")
    mail_sender_name: str = Field("", description="Name beside it.", max_length=100)
    sms_provider_url: str = Field(
        "", description="Where text messages are posted, https; empty means none are sent."
    )
    push_provider_url: str = Field(
        "", description="Where push messages are posted, https; empty means none are sent."
    )
    provider_token_file: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="File with the token that both providers ask for."
    )
    provider_ca_file: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="PEM roots to trust there; empty means the system's."
    )
    notifications_at_a_time: int = Field(
        4,
        ge=1,
        le=100,
        description="Messages under way on a channel, and so the most that a crash may send twice.",
    )
    notification_text_days: int = Field(
        30, ge=1, le=3_650, description="How long the text of a message is kept."
    )
    notification_log_days: int = Field(
        400, ge=1, le=3_650, description="How long it is kept that there was one, and what became."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.smtp_host:
            if not self.mail_sender:
                raise ValueError("TENDER_MAIL_SENDER: needed for e-mails")
            if self.smtp_security == "none" and not addresses.is_loopback(self.smtp_host):
                raise ValueError("TENDER_SMTP_SECURITY: none is for a server on this machine")
        for name in ("sms_provider_url", "push_provider_url"):
            url = getattr(self, name)
            if not url:
                continue
            parts = urlsplit(url)
            is_near = parts.scheme == "http" and addresses.is_loopback(parts.hostname or "")
            if (parts.scheme != "https" and not is_near) or not parts.hostname or parts.username:
                raise ValueError(f"TENDER_{name.upper()}: not an https URL without credentials")
            if self.provider_token_file is None:
                raise ValueError("TENDER_PROVIDER_TOKEN_FILE: needed for providers")
        return self

    def smtp_password(self) -> str:
        """Return the password of the mail server, empty for none. Raises BadSettings."""
        return "" if self.smtp_password_file is None else _read_secret(self.smtp_password_file)


def _shards(
    file: Path | None, shard: str, region: str, database_url: str, **urls: Any
) -> tuple[shard_settings.ShardSettings, ...]:
    """Return the shards of a file, or the one that the settings name. Raises BadSettings."""
    if file is None:
        # Looked at already, under the names of these settings.
        one = shard_settings.ShardSettings.model_construct(
            shard=shard, region=region, database_url=database_url, **urls
        )
        return (one,)
    try:
        return shard_settings.read(file)
    except shard_settings.BadShards as bad:
        raise BadSettings(f"{PREFIX}SHARDS_FILE: {bad}") from None


SERVERS: Final[tuple[type[Settings], ...]] = (
    GatewaySettings,
    ProcessorSettings,
    RelaySettings,
    ReportingSettings,
    NotificationSettings,
    WebhookSettings,
    OperationSettings,
)


def markdown_table() -> str:
    """Render every setting of both servers for the README."""
    rows: dict[str, tuple[list[str], list[str], str]] = {}
    for server in SERVERS:
        for name, field in server.model_fields.items():
            defaults, users, _ = rows.setdefault(name, ([], [], field.description or ""))
            users.append(server.section)
            if (default := _default_shown(field)) not in defaults:
                defaults.append(default)
    lines = ["| Variable | Default | Used by | Meaning |", "|---|---|---|---|"]
    for name, (defaults, users, meaning) in sorted(rows.items()):
        lines.append(
            f"| `{PREFIX}{name.upper()}` | {', '.join(defaults)} | {', '.join(users)} | {meaning} |"
        )
    return "\n".join(lines) + "\n"


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads TENDER_X from the file that TENDER_X_FILE names, for every secret X."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        is_secret = "secret" in field.metadata
        value = _read_secret(Path(path)) if is_secret and path else None
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self._found())

    def _found(self) -> Iterator[tuple[str, Any]]:
        for name, field in self.settings_cls.model_fields.items():
            value, _, _ = self.get_field_value(field, name)
            if value is not None:
                yield name, value


class _TomlFile(PydanticBaseSettingsSource):
    """Reads the settings file: keys at its top are for both servers, a section for its own."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        path = os.environ.get(FILE_VARIABLE)
        if not path:
            return {}
        try:
            content = tomllib.loads(Path(path).read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BadSettings(f"{path}: {error}") from None
        sections = {server.section: content.pop(server.section, {}) for server in SERVERS}
        # A key that only the other server knows is right; one that neither knows is a mistake.
        known_by_any = {name for server in SERVERS for name in server.model_fields}
        own = self.settings_cls.model_fields
        common = {key: content[key] for key in content if key in own or key not in known_by_any}
        section: str = getattr(self.settings_cls, "section", "")
        own_section: dict[str, Any] = sections.get(section, {})
        return common | own_section


def _read_secret(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: {type(error).__name__}") from None


def _shown(value: Any) -> Any:
    match value:
        case str():
            return _URL_PASSWORD_PARAMETER.sub(r"\1=***", _URL_USERINFO.sub("***@", value))
        case tuple():
            return [_shown(item) for item in value]
        case Path():
            return str(value)
        case _:
            return value


def _default_shown(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "*(see there)*"
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"`{value}`" if value else "*(empty)*"


if __name__ == "__main__":
    sys.stdout.write(markdown_table())
