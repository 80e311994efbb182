"""Reads records of the topic `commands`: whose they are, and what they want. Pure."""

import functools
from collections.abc import Set
from dataclasses import dataclass
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from gateway.errors import Refused
from gateway.identity import Identity
from gateway.intake import commands
from gateway.intake.commands import Asked
from gateway.intake.ports import Record
from gateway.intake.seals import CORE_BYTES, Seals, core_of
from tender.v1 import bulk_pb2, lane_pb2

MALFORMED: Final = "MALFORMED"
UNKNOWN_VERSION: Final = "UNKNOWN_VERSION"
SEAL_INVALID: Final = "SEAL_INVALID"
TENANT_NOT_ALLOWED: Final = "TENANT_NOT_ALLOWED"

_NAME_LENGTH_MAX: Final = 128
_IDENTITIES_MAX: Final = 1_000
_VERSION: Final = b"%d" % commands.SCHEMA_VERSION


class Unreadable(NamedTuple):
    """Why a record is no command that may be carried out. The text shows nothing of it."""

    cause: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it was accepted."""

    operation_id: str
    accepted_ms: int
    caller: Identity
    asked: Asked
    request: bytes
    """To be carried out."""
    error: bytes
    """Why it is not: a google.rpc.Status, serialized; empty if it is."""
    is_sealed: bool
    """Whether it came by SubmitPayment, so that the time is our own clock's."""

    def outcome(self, outcome: bytes) -> bytes:
        """Return a CommandOutcome, serialized, with a PaymentOutcome: always the same."""
        message = bulk_pb2.RawCommandOutcome(
            operation_id=self.operation_id,
            schema_version=commands.SCHEMA_VERSION,
            tenant_id=self.caller.principal.tenant_id,
            merchant_id=self.caller.principal.merchant_id,
            method=self.asked.kind.method.name,
            outcome=outcome,
        )
        message.accept_time.FromMilliseconds(self.accepted_ms)
        return message.SerializeToString()


class _Source(NamedTuple):
    """Who sent a record, and what tells it from all others."""

    caller: Identity
    core: bytes
    key_index: int
    is_sealed: bool


class Reader:
    """Reads records; `tenants` are those for whom producers of others' may write without a seal."""

    def __init__(self, seals: Seals, topic: str, tenants: Set[str]) -> None:
        self._seals = seals
        self._topic = topic
        self._tenants = tenants

    def __call__(self, record: Record, partition: int) -> Command | Unreadable:
        """Return the command in a record, or why there is none."""
        headers = {name: value or b"" for name, value in record.headers}
        if headers.get(commands.SCHEMA, _VERSION) != _VERSION:
            return Unreadable(UNKNOWN_VERSION, "its schema version is not known here")
        value = record.value or b""
        if len(value) > commands.COMMAND_BYTES_MAX:
            return Unreadable(MALFORMED, "it is larger than a command can be")
        source = self._source(record, partition, headers, value)
        if isinstance(source, Unreadable):
            return source
        try:
            asked = commands.read(value)
        except commands.Unreadable:
            return Unreadable(MALFORMED, "its bytes are no tender.v1.PaymentCommand")
        return self._command(source, partition, asked)

    def _command(self, source: _Source, partition: int, asked: Asked) -> Command:
        request = error = b""
        try:
            request = commands.check(asked, source.caller)
        except Refused as refused:
            error = refused.encoded()
        principal = source.caller.principal
        return Command(
            self._seals.operation_id(
                source.core,
                partition,
                principal.tenant_id,
                principal.merchant_id,
                by=source.key_index,
            ),
            int.from_bytes(source.core[:6]),
            source.caller,
            asked,
            request,
            error,
            source.is_sealed,
        )

    def _source(
        self, record: Record, partition: int, headers: dict[str, bytes], value: bytes
    ) -> _Source | Unreadable:
        # Whatever has any part of a seal needs the whole of it.
        if not headers.keys().isdisjoint((commands.SEAL, commands.OPERATION, commands.PRINCIPAL)):
            return self._sealed(record, headers, value)
        tenant_id = _name(headers.get(commands.TENANT, b""))
        if tenant_id not in self._tenants:
            return Unreadable(
                TENANT_NOT_ALLOWED, "it has no seal, and its tenant may not be named without one"
            )
        merchant_id = _name(headers.get(commands.MERCHANT, b""))
        if merchant_id is None or tenant_id is None:
            return Unreadable(MALFORMED, "its merchant is no id")
        principal = lane_pb2.Principal(tenant_id=tenant_id, merchant_id=merchant_id)
        place = f"{self._topic}/{partition}/{record.offset}"
        core = core_of(int(record.timestamp * 1_000), place)
        return _Source(_identity(principal.SerializeToString()), core, 0, is_sealed=False)

    def _sealed(
        self, record: Record, headers: dict[str, bytes], value: bytes
    ) -> _Source | Unreadable:
        core = headers.get(commands.OPERATION, b"")
        principal = headers.get(commands.PRINCIPAL, b"")
        seal = headers.get(commands.SEAL, b"")
        index = self._seals.sealed_by(seal, core, principal, record.key or b"", value)
        if index is None or len(core) != CORE_BYTES:
            return Unreadable(SEAL_INVALID, "its seal is not one of this Tender")
        try:
            return _Source(_identity(principal), core, index, is_sealed=True)
        except DecodeError:
            return Unreadable(MALFORMED, "its principal cannot be read")


@functools.lru_cache(maxsize=_IDENTITIES_MAX)
def _identity(principal: bytes) -> Identity:
    """Return the same object for the same caller: what goes on a stream names each but once."""
    return commands.identity(lane_pb2.Principal.FromString(principal))


def _name(value: bytes) -> str | None:
    """Return a header as the name that it is to be; None if it is none."""
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        return None
    return text if len(text) <= _NAME_LENGTH_MAX and (not text or text.isprintable()) else None
