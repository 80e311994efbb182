"""Payment commands that come many at a time: how they are read, checked and answered.

Each is checked by the rules of its own method and carried out by the lane like any other. What is
read is what is sent on: requests and answers stay the bytes that they came as.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from gateway import access, endpoint, errors, methods, validation
from gateway.commands import Command
from gateway.endpoint import Backends
from gateway.errors import Refused, Violation
from gateway.identity import Identity
from gateway.replays import Ticket
from tender.v1 import bulk_pb2, lane_pb2

COMMANDS_MAX: Final = 1_000  # The contract's limit, for commands and for outcomes of a message.
MESSAGE_BYTES_MAX: Final = 1024 * 1024
_OUTCOME_OVERHEAD_BYTES: Final = 280  # The longest request_id, and tags.


@dataclass(frozen=True, slots=True)
class Kind:
    """A payment command as bulk calls carry it."""

    method: methods.Method
    number: int
    parse: Callable[[bytes], Any]
    is_restricted: access.Rule
    # Adds an outcome with this kind's answer to a message.
    add: Callable[[Any, str, bytes], Any]


def _add_authorized(outcomes: Any, request_id: str, response: bytes) -> Any:
    return outcomes.add(request_id=request_id, authorized=response)


def _add_captured(outcomes: Any, request_id: str, response: bytes) -> Any:
    return outcomes.add(request_id=request_id, captured=response)


def _add_voided(outcomes: Any, request_id: str, response: bytes) -> Any:
    return outcomes.add(request_id=request_id, voided=response)


def _add_refunded(outcomes: Any, request_id: str, response: bytes) -> Any:
    return outcomes.add(request_id=request_id, refunded=response)


def _add_reversed(outcomes: Any, request_id: str, response: bytes) -> Any:
    return outcomes.add(request_id=request_id, reversed=response)


def _kind(number: int, add: Callable[[Any, str, bytes], Any]) -> Kind:
    method = methods.BY_NUMBER[number]
    # Whoever may open a stream may send every kind of command on it.
    assert method.allowed == methods.BY_NAME[methods.STREAM_PAYMENTS].allowed
    return Kind(method, number, method.request.FromString, access.RULES[number], add)


AUTHORIZE: Final = _kind(lane_pb2.METHOD_AUTHORIZE_PAYMENT, _add_authorized)
# By the field of PaymentCommand.
KINDS: Final[dict[str, Kind]] = {
    "authorize": AUTHORIZE,
    "capture": _kind(lane_pb2.METHOD_CAPTURE_PAYMENT, _add_captured),
    "void": _kind(lane_pb2.METHOD_VOID_PAYMENT, _add_voided),
    "refund": _kind(lane_pb2.METHOD_REFUND_PAYMENT, _add_refunded),
    "reverse": _kind(lane_pb2.METHOD_REVERSE_PAYMENT, _add_reversed),
}
assert set(KINDS) == {field.name for field in bulk_pb2.RawPaymentCommand.DESCRIPTOR.fields}


class BulkCommand(Command):
    """A command that came with others."""

    __slots__ = ("kind", "request_id")
    is_bulk = True

    kind: Kind
    request_id: str


def read_batch(data: bytes) -> list[bytes]:
    """Return the requests of an AuthorizePayments call; raises Refused."""
    try:
        requests = list(bulk_pb2.RawAuthorizePaymentsRequest.FromString(_bounded(data)).requests)
    except DecodeError:
        raise Refused("MESSAGE_MALFORMED") from None
    _require_count(len(requests), "requests")
    return requests


def read_commands(data: bytes) -> list[tuple[Kind, bytes]]:
    """Return the commands of a message of StreamPayments; raises Refused."""
    try:
        raw_commands = bulk_pb2.RawStreamPaymentsRequest.FromString(_bounded(data)).commands
    except DecodeError:
        raise Refused("MESSAGE_MALFORMED") from None
    _require_count(len(raw_commands), "commands")
    commands: list[tuple[Kind, bytes]] = []
    for raw in raw_commands:
        if request := raw.authorize:
            commands.append((AUTHORIZE, request))
            continue
        name = raw.WhichOneof("command")
        if name is None:
            path = f"commands[{len(commands)}].command"
            raise Refused("FIELD_INVALID", violations=[Violation(path, "Must be set.")])
        commands.append((KINDS[name], getattr(raw, name)))
    return commands


class Checked(NamedTuple):
    """A command that was looked at: its lane and what to send there, or its error."""

    request_id: str
    lane: Any
    request: bytes
    error: bytes
    ticket: Ticket | None = None


def check(kind: Kind, data: bytes, caller: Identity, backends: Backends) -> Checked:
    """Return what a command comes to: where it goes, or why it does not.

    Raises Refused for what cannot be read, and so has no request_id to answer to.
    """
    try:
        request = kind.parse(data)
    except DecodeError:
        raise Refused("MESSAGE_MALFORMED") from None
    request_id: str = request.request_id
    try:
        if backends.limits is not None:
            backends.limits.admit(kind.method.name, caller)
        if len(data) > endpoint.MESSAGE_BYTES_MAX:
            raise Refused("MESSAGE_TOO_LARGE")
        validation.validate(kind.number, request)
        if kind.is_restricted(request, caller):
            data = request.SerializeToString()
        lane = backends.lanes.lane_of(kind.number, request)
    except Refused as refused:
        return Checked(request_id, None, b"", refused.encoded())
    ticket, replays = None, backends.replays
    if replays is not None:
        ticket = replays.ticket(kind.number, request_id, data, caller.principal)
        if ticket is not None:
            ticket.is_bulk = True
    return Checked(request_id, lane, data, b"", ticket)


def error_of(command: BulkCommand, outcome: lane_pb2.Outcome) -> bytes:
    """Return the error of an outcome without a response, as a google.rpc.Status."""
    try:
        if outcome.HasField("refusal"):
            return errors.encoded_refusal(outcome.refusal)
        raise endpoint.refusal_of(outcome)
    except Exception as error:
        return endpoint.as_refusal(error, command.kind.method.name).encoded()


class Outcomes:
    """A message of outcomes that grows; `size` is about what it takes on the wire."""

    __slots__ = ("_outcomes", "count", "message", "size")

    def __init__(self) -> None:
        self.message = bulk_pb2.RawPaymentOutcomes()
        self._outcomes = self.message.outcomes
        self.count = 0
        self.size = 0

    def add(self, command: BulkCommand, outcome: lane_pb2.Outcome) -> None:
        response = outcome.response
        if response or outcome.HasField("response"):
            added = command.kind.add(self._outcomes, command.request_id, response)
            if outcome.replayed:
                added.replayed = True
            self.count += 1
            self.size += len(response) + _OUTCOME_OVERHEAD_BYTES
        else:
            self.add_error(command.request_id, error_of(command, outcome))

    def add_error(self, request_id: str, status: bytes) -> None:
        self._outcomes.add(request_id=request_id, error=status)
        self.count += 1
        self.size += len(status) + _OUTCOME_OVERHEAD_BYTES


def _bounded(data: bytes) -> bytes:
    if len(data) > MESSAGE_BYTES_MAX:
        raise Refused("MESSAGE_TOO_LARGE", message="The message is larger than 1 MiB.")
    return data


def _require_count(count: int, path: str) -> None:
    if not 1 <= count <= COMMANDS_MAX:
        violation = Violation(path, f"Must have 1 to {COMMANDS_MAX} entries.")
        raise Refused("FIELD_INVALID", violations=[violation])
