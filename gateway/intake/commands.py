"""What a command is that is carried out later: how it is checked, ordered, and written to Kafka."""

from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from gateway import bulk, checks, endpoint, methods, validation
from gateway.bulk import Kind
from gateway.errors import Refused, Violation
from gateway.identity import Identity
from tender.v1 import bulk_pb2, lane_pb2

COMMAND_BYTES_MAX: Final = endpoint.MESSAGE_BYTES_MAX + 64
"""A request of its largest size, and the tags around it."""

OPERATION: Final = "tender-operation"
PRINCIPAL: Final = "tender-principal"
SEAL: Final = "tender-seal"
TENANT: Final = "tenant"
MERCHANT: Final = "merchant"
SCHEMA: Final = "schema-version"
SCHEMA_VERSION: Final = 1
"""Headers of a command's record."""

_BY_PAYER: Final = frozenset({"authorize", "reverse"})


class Unreadable(Exception):
    """These bytes are no payment command."""


class Asked(NamedTuple):
    """A command as it was sent."""

    name: str
    kind: Kind
    request: Any
    data: bytes
    """The request, serialized."""

    @property
    def request_id(self) -> str:
        """The request_id, if it is one; what is none is never repeated anywhere."""
        request_id: str = self.request.request_id
        found: list[Violation] = []
        checks.request_id(request_id, "request_id", found)
        return "" if found else request_id

    @property
    def order_key(self) -> str:
        """The account or the payment that decides where it is carried out, and orders it."""
        name = "payer_account_id" if self.name in _BY_PAYER else "payment_id"
        key: str = getattr(self.request, name)
        return key


def read(command: bytes) -> Asked:
    """Return the command in a serialized PaymentCommand. Raises Unreadable."""
    try:
        raw = bulk_pb2.RawPaymentCommand.FromString(command)
        name = raw.WhichOneof("command")
        if name is None:
            raise Unreadable
        data: bytes = getattr(raw, name)
        kind = bulk.KINDS[name]
        return Asked(name, kind, kind.parse(data), data)
    except DecodeError:
        raise Unreadable from None


def check(asked: Asked, caller: Identity) -> bytes:
    """Return the request to be carried out, or raise Refused as its own method does."""
    if len(asked.data) > endpoint.MESSAGE_BYTES_MAX:
        raise Refused("MESSAGE_TOO_LARGE")
    validation.validate(asked.kind.number, asked.request)
    if asked.kind.is_restricted(asked.request, caller):
        changed: bytes = asked.request.SerializeToString()
        return changed
    return asked.data


def identity(principal: lane_pb2.Principal) -> Identity:
    """Return a caller who was authenticated before, with what is known of him."""
    scope = methods.MERCHANT if principal.merchant_id else methods.SERVICE
    return Identity(
        key_id="",
        scopes=frozenset({scope}),
        merchant_id=principal.merchant_id,
        principal=principal,
    )


def answered(asked: Asked, response: bytes) -> bytes:
    """Return a PaymentOutcome, serialized, with the answer to a command.

    It does not say whether the answer was stored before: a repetition has to say the same.
    """
    outcomes = bulk_pb2.RawPaymentOutcomes()
    asked.kind.add(outcomes.outcomes, asked.request_id, response)
    return outcomes.outcomes[0].SerializeToString()


def refused(asked: Asked, status: bytes) -> bytes:
    """Return a PaymentOutcome, serialized, with the error of a command."""
    outcome = bulk_pb2.RawPaymentOutcome(request_id=asked.request_id, error=status)
    return outcome.SerializeToString()
