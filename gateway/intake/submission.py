"""SubmitPayment and GetOperation: a command goes into Kafka, its outcome comes from the store."""

import time
from collections.abc import Callable
from typing import Final

from google.protobuf.message import Message as Response

from gateway.errors import Refused, Violation
from gateway.intake import commands
from gateway.intake.ports import Outbox, Store
from gateway.intake.seals import Accepted, Seals, new_core
from kit import logs, metrics
from kit.operations import Message
from tender.v1 import bulk_pb2, lane_pb2, operation_pb2

POSITION_SLACK_MS: Final = 5 * 60 * 1_000
"""Records stand in a partition nearly in the order in which they were accepted: one that is older
by so much than what is done there was passed over."""

_log = logs.logger()


class Submission:
    """Accepts commands."""

    def __init__(
        self,
        outbox: Outbox,
        seals: Seals,
        *,
        accepts_loss: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`accepts_loss` lets brokers be used that keep nothing when they end."""
        self._outbox = outbox
        self._seals = seals
        # Brokers do not become others while this process lives.
        self._is_durable: bool | None = True if accepts_loss else None
        self._clock = clock

    async def submit(
        self, request: bulk_pb2.RawSubmitPaymentRequest, principal: lane_pb2.Principal
    ) -> Response:
        """Answer SubmitPayment; raises Refused."""
        asked = _asked(request.command)
        commands.check(asked, commands.identity(principal))
        await self._require_durable()
        now_ms = int(self._clock() * 1_000)
        core = new_core(now_ms)
        partition = await self._store(asked, core, request.command, principal)
        operation = operation_pb2.Operation(
            id=self._seals.operation_id(
                core, partition, principal.tenant_id, principal.merchant_id
            ),
            state=operation_pb2.Operation.STATE_PENDING,
        )
        operation.accept_time.FromMilliseconds(now_ms)
        return operation_pb2.SubmitPaymentResponse(operation=operation)

    async def _store(
        self, asked: commands.Asked, core: bytes, command: bytes, principal: lane_pb2.Principal
    ) -> int:
        """Write a command for good, and return in which partition it is; raises Refused."""
        if self._outbox.problem:
            raise _refused("COMMANDS_UNAVAILABLE")
        # An operator's key does nothing more here than a service's.
        who = lane_pb2.Principal(
            tenant_id=principal.tenant_id, merchant_id=principal.merchant_id
        ).SerializeToString()
        key = asked.order_key.encode()
        message = Message(
            key,
            command,
            (
                (commands.SCHEMA, b"%d" % commands.SCHEMA_VERSION),
                (commands.OPERATION, core),
                (commands.PRINCIPAL, who),
                (commands.SEAL, self._seals.seal(core, who, key, command)),
            ),
        )
        [sent] = await self._outbox.send([message])
        if sent.problem:
            _log.warning("command_not_accepted", reason=sent.problem, is_known=sent.is_known)
            raise _refused("COMMANDS_UNAVAILABLE" if sent.is_known else "OUTCOME_UNKNOWN")
        metrics.INTAKE_SUBMITTED.labels("accepted").inc()
        return sent.partition

    async def _require_durable(self) -> None:
        """Refuse where an answer would promise what no broker keeps."""
        if self._is_durable is None:
            try:
                self._is_durable = not await self._outbox.is_memory_only()
            except ConnectionError:
                raise _refused("COMMANDS_UNAVAILABLE") from None
        if not self._is_durable:
            raise _refused("COMMANDS_NOT_DURABLE")


class Operations:
    """Tells what became of commands."""

    def __init__(
        self,
        store: Store,
        seals: Seals,
        *,
        retention_ms: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._seals = seals
        self._retention_ms = retention_ms
        self._clock = clock

    async def get(
        self, request: operation_pb2.GetOperationRequest, principal: lane_pb2.Principal
    ) -> Response:
        """Answer GetOperation; raises Refused."""
        identifier = request.operation_id
        known = self._seals.read_id(identifier, principal.tenant_id, principal.merchant_id)
        if known is None:
            raise Refused("OPERATION_UNKNOWN")
        try:
            operation = await self._decided(identifier)
            if operation is None:
                # What was accepted is never unknown, and what is gone is not pending.
                await self._require_pending(known)
                # It may have been decided between the two looks.
                operation = await self._decided(identifier) or operation_pb2.Operation(
                    id=identifier, state=operation_pb2.Operation.STATE_PENDING
                )
        except ConnectionError:
            raise Refused("SERVICE_UNAVAILABLE", metadata={"service": "operations"}) from None
        operation.accept_time.FromMilliseconds(known.accepted_ms)
        return operation_pb2.GetOperationResponse(operation=operation)

    async def _decided(self, identifier: str) -> operation_pb2.Operation | None:
        found = await self._store.get(identifier)
        if found is None:
            return None
        told = operation_pb2.CommandOutcome.FromString(found.outcome)
        state = operation_pb2.Operation
        operation = operation_pb2.Operation(
            id=identifier,
            state=state.STATE_REFUSED if found.is_refused else state.STATE_DONE,
            method=told.method,
            outcome=told.outcome,
        )
        operation.decide_time.FromMilliseconds(found.decided_ms)
        return operation

    async def _require_pending(self, known: Accepted) -> None:
        if known.accepted_ms < int(self._clock() * 1_000) - self._retention_ms:
            raise Refused("OPERATION_UNKNOWN")
        position = await self._store.position(known.partition)
        if position is not None and position.accepted_ms - POSITION_SLACK_MS > known.accepted_ms:
            raise Refused("OPERATION_LOST")


def _asked(command: bytes) -> commands.Asked:
    if not command:
        raise Refused("FIELD_INVALID", violations=[Violation("command", "Must be set.")])
    try:
        return commands.read(command)
    except commands.Unreadable:
        violation = Violation("command", "Must be one of the commands that there are.")
        raise Refused("FIELD_INVALID", violations=[violation]) from None


def _refused(reason: str) -> Refused:
    metrics.INTAKE_SUBMITTED.labels(reason).inc()
    return Refused(reason)
