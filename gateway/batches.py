"""AuthorizePayments: many authorizations in one call, one outcome for each, in their order."""

import asyncio
from typing import Final

from gateway import bulk, endpoint, methods
from gateway.bulk import BulkCommand
from gateway.endpoint import Answer, Backends, Endpoint
from gateway.errors import Refused
from gateway.identity import Identity
from tender.v1 import lane_pb2

SENDING_MAX: Final = 32  # Calls that wait for room in the lane, of 1 MiB each.
_WAITING: Final = b""


class _Batch:
    """What became of each authorization so far: the lane's outcome, or an error."""

    __slots__ = ("done", "results", "waiting")

    def __init__(self, count: int, done: asyncio.Future[None]) -> None:
        self.results: list[lane_pb2.Outcome | bytes] = [_WAITING] * count
        self.waiting = 0
        self.done = done

    def put(self, index: int, result: lane_pb2.Outcome | bytes) -> None:
        self.results[index] = result
        self.waiting -= 1
        if self.waiting == 0 and not self.done.done():
            self.done.set_result(None)


class _BatchCommand(BulkCommand):
    """One of the authorizations."""

    __slots__ = ("batch", "index")
    batch: _Batch
    index: int

    def answered(self, outcome: lane_pb2.Outcome) -> None:
        self.batch.put(self.index, outcome)

    def refused(self, reason: str) -> None:
        self.batch.put(self.index, Refused(reason).encoded())


class BatchEndpoint(Endpoint):
    """The method as a transport sees it."""

    def __init__(self, backends: Backends) -> None:
        super().__init__(methods.BY_NAME[methods.AUTHORIZE_PAYMENTS])
        self._lanes = backends.lanes
        self._backends = backends
        self._sending = 0
        self._timeout_seconds_max = backends.write_timeout_seconds
        self._loop = asyncio.get_running_loop()

    async def carry_out(self, data: bytes, caller: Identity, seconds_left: float | None) -> Answer:
        """Answer once every authorization is; a call that is refused has left no trace."""
        timeout = endpoint.timeout_seconds(seconds_left, self._timeout_seconds_max)
        requests = bulk.read_batch(data)
        batch = _Batch(len(requests), self._loop.create_future())
        commands = self._commands(requests, caller, batch, self._loop.time() + timeout)
        to_send = [command for command in commands if command.request]
        if to_send:
            batch.waiting = len(to_send)
            await self._send(to_send)
            await batch.done
        return Answer(_encoded(commands, batch), replayed=False)

    async def _send(self, commands: list[_BatchCommand]) -> None:
        if self._sending >= SENDING_MAX:
            raise Refused("GATEWAY_BUSY")
        self._sending += 1
        try:
            await self._lanes.submit_as_room_comes(commands)
        finally:
            self._sending -= 1

    def _commands(
        self, requests: list[bytes], caller: Identity, batch: _Batch, deadline: float
    ) -> list[_BatchCommand]:
        """Return all authorizations; one that is refused has nothing to send, and its error."""
        commands: list[_BatchCommand] = []
        kind, principal, number = bulk.AUTHORIZE, caller.principal, bulk.AUTHORIZE.number
        for index, data in enumerate(requests):
            checked = bulk.check(kind, data, caller, self._backends)
            command = _BatchCommand(number, checked.request, principal, deadline)
            command.kind = kind
            command.lane = checked.lane
            command.request_id = checked.request_id
            command.ticket = checked.ticket
            command.batch = batch
            command.index = index
            if checked.error:
                batch.results[index] = checked.error
            commands.append(command)
        return commands


def _encoded(commands: list[_BatchCommand], batch: _Batch) -> bytes:
    outcomes = bulk.Outcomes()
    for command, result in zip(commands, batch.results, strict=True):
        if isinstance(result, bytes):
            outcomes.add_error(command.request_id, result)
        else:
            outcomes.add(command, result)
    return outcomes.message.SerializeToString()
