"""The transport: listens, finds who answers each call, looks after connections, stops in order."""

import asyncio
import resource
import socket
from typing import Final

import grpc

from gateway import bulk, identity
from gateway import endpoint as endpoints
from gateway.edge.http2 import answers, frames, limits
from gateway.edge.http2.calls import Call
from gateway.edge.http2.connection import Connection
from gateway.edge.http2.heads import Head
from gateway.edge.http2.open_calls import OpenCall
from gateway.edge.http2.outbox import Total
from gateway.edge.http2.peer import Peer
from gateway.edge.http2.side_services import HEALTH_CHECK, REFLECTION, Reflection, check_health
from gateway.endpoint import CommandEndpoint, Endpoint
from gateway.errors import Refused
from gateway.front import Front
from gateway.identity import Identity
from gateway.methods import Forwarded, Method
from kit import addresses, logs, serving

_BACKLOG: Final = 1_024
_FILES_RESERVED: Final = 128
_END_SECONDS: Final = 0.5  # For the work of calls that were cut off.

_log = logs.logger()


def _connections_max() -> int:
    """Return how many connections there may be; the process needs files for other things too."""
    files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(limits.CONNECTIONS_MAX, max(files_max - _FILES_RESERVED, 1))


class Http2Edge:
    """All connections of this process. `run` looks after them until cancelled."""

    connections_max = _connections_max()

    def __init__(
        self,
        front: Front,
        health: serving.Health,
        *,
        shows_reflection: bool,
        calls_max: int,
        reuse_port: bool = False,
    ) -> None:
        self.calls = Total()
        self.held = Total()
        self.unsent = Total()
        self._calls_max = calls_max
        self._front = front
        self._health = health
        self._reflection = Reflection() if shows_reflection else None
        self._reuse_port = reuse_port
        self._loop = asyncio.get_running_loop()
        self._tasks = serving.Tasks()
        self.begin = self._tasks.start
        self._connections: set[Peer] = set()
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._is_at_rest = asyncio.Event()
        self._faults: dict[str, int] = {}

    def bind(self, listen: str) -> int:
        """Take the port and return it; raises OSError when it is taken."""
        host, port = addresses.host_and_port(listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server(
                (host, port),
                family=family,
                backlog=_BACKLOG,
                reuse_port=self._reuse_port,
                dualstack_ipv6=host == "::",
            )
        except OSError as error:
            raise OSError(f"cannot listen on {listen}: {error.strerror}") from None
        return int(self._socket.getsockname()[1])

    async def start(self) -> None:
        """Take connections from now on."""
        assert self._socket is not None, "bind comes first"
        self._server = await self._loop.create_server(
            lambda: Connection(self, self._loop), sock=self._socket, backlog=_BACKLOG
        )

    async def run(self) -> None:
        """Look after the connections until cancelled."""
        before = self._loop.time()
        while True:
            await asyncio.sleep(limits.SWEEP_SECONDS)
            now = self._loop.time()
            for connection in tuple(self._connections):
                connection.look_after(now, now - before)
            before = now
            if self._faults:
                _log.warning("connections_ended", reasons=self._faults)
                self._faults = {}

    async def stop(self, grace: float | None) -> None:
        """Take nothing new, let what is under way end, and cut off what is left."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(grace):
                while self._connections:
                    self._is_at_rest.clear()
                    await self._is_at_rest.wait()
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.abort()
        await self._tasks.drain(_END_SECONDS)

    # What connections ask for.

    @property
    def has_room(self) -> bool:
        return self.calls.amount < self._calls_max

    def joined(self, peer: Peer) -> None:
        self._connections.add(peer)
        if len(self._connections) > self.connections_max:
            peer.end(frames.BadConnection(frames.ENHANCE_YOUR_CALM, "too many connections"))

    def parted(self, peer: Peer, why: str) -> None:
        self._connections.discard(peer)
        if why:
            self._faults[why] = self._faults.get(why, 0) + 1
        if not self._connections:
            self._is_at_rest.set()

    def route(self, head: Head) -> None:
        target = self._front.endpoints.get(head.path)
        is_call = not (head.has_bad_timeout or head.is_too_large) and head.http_status == 200
        if is_call and isinstance(target, CommandEndpoint):
            head.endpoint = target

    def admit(self, head: Head) -> None:
        assert head.endpoint is not None
        head.caller = self._front.admitted(head.endpoint, head.metadata)

    def open(self, peer: Peer, stream: int, head: Head) -> Call | None:
        call = OpenCall(
            peer,
            stream,
            self._loop.time(),
            head.timeout_seconds,
            expects_one=head.path != self._front.streams.route.path and head.path != REFLECTION,
            bytes_max=self._bytes_max(head.path),
        )
        peer.add(call)
        if head.http_status != 200:
            call.end_with(answers.http_block(head.http_status))
        elif head.is_too_large:
            call.refuse_plainly(grpc.StatusCode.RESOURCE_EXHAUSTED, "The metadata is too large.")
        elif head.has_bad_timeout:
            call.refuse(Refused("MESSAGE_MALFORMED"))
        elif not self.has_room:
            call.refuse(Refused("GATEWAY_BUSY"))
        else:
            self._begin(call, head)
        return None if call.is_over else call

    def _bytes_max(self, path: str) -> int:
        route = getattr(self._front.endpoints.get(path), "route", None)
        if route is None and path != self._front.streams.route.path:
            return endpoints.MESSAGE_BYTES_MAX
        if isinstance(route, Method | Forwarded):
            return endpoints.MESSAGE_BYTES_MAX
        return bulk.MESSAGE_BYTES_MAX

    def _begin(self, call: OpenCall, head: Head) -> None:
        path = head.path
        target = self._front.endpoints.get(path)
        if target is not None:
            call.run(lambda call: self._answer(call, target, head))
        elif path == self._front.streams.route.path:
            call.run(lambda call: self._stream(call, head))
        elif path == HEALTH_CHECK:
            call.run(lambda call: check_health(call, self._health))
        elif path == REFLECTION and self._reflection is not None:
            call.run(self._reflection.serve)
        else:
            call.refuse(self._front.unknown())

    async def _answer(self, call: OpenCall, target: Endpoint, head: Head) -> None:
        caller: Identity | Refused | None = self._front.admitted(target, head.metadata)
        if caller is None:
            caller = await self._front.admit(target, head.metadata)
        if isinstance(caller, Refused):
            call.refuse(caller)
            return
        message = await call.only_message()
        left = call.seconds_left(self._loop.time())
        answer = await target.answer(message, caller, left)
        if isinstance(answer, Refused):
            call.refuse(answer)
            return
        await call.write(answer.response)
        call.end_well(replayed=answer.replayed)

    async def _stream(self, call: OpenCall, head: Head) -> None:
        streams = self._front.streams
        verdict: Identity | Refused | None = await self._front.admit(streams, head.metadata)
        if isinstance(verdict, Identity):
            key_text = identity.key_text(head.metadata)
            verdict = await streams.serve(call, key_text, call.peer.name)
        if verdict is not None:
            call.refuse(verdict)
        else:
            call.end_well()
