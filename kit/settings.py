"""Settings of both servers: environment over a TOML file over defaults, and secrets from files."""

import os
import re
import socket
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from kit import addresses, api_keys, rate_limits, shard_settings
from kit.shard_map import SHARD_FORM

PREFIX: Final = "TENDER_"
FILE_VARIABLE: Final = "TENDER_SETTINGS_FILE"
_TOKEN_LENGTH_MIN: Final = 32  # The internal token opens the ledger: too long to guess.
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


Address = Annotated[str, AfterValidator(_address)]
# A URL may hold a password: it is masked wherever settings are shown, and may come from a file
# named by the same variable with _FILE at its end.
SecretUrl = Annotated[str, "secret"]
SecretUrls = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), "secret"]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
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
        description="The longest that a call waits for Redis, before it goes on without.",
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
    replay_cache: bool = Field(
        False,
        description="Answer repeated calls from Redis, if there is one; first calls cost more.",
    )
    replay_cache_seconds: int = Field(
        300, ge=1, le=86_400, description="How long Redis keeps an answer for that."
    )

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
        if self.shards_file is None:
            return (
                # Looked at already, under the names of these settings.
                shard_settings.ShardSettings.model_construct(
                    shard=self.shard,
                    region=self.region,
                    database_url=self.database_url,
                    query_database_url=self.query_database_url,
                    replica_database_urls=self.replica_database_urls,
                ),
            )
        try:
            return shard_settings.read(self.shards_file)
        except shard_settings.BadShards as bad:
            raise BadSettings(f"{PREFIX}SHARDS_FILE: {bad}") from None


SERVERS: Final[tuple[type[Settings], ...]] = (GatewaySettings, ProcessorSettings)


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
        value = ",".join(value)
    return f"`{value}`" if value else "*(empty)*"


if __name__ == "__main__":
    sys.stdout.write(markdown_table())
