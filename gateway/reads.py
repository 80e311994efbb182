"""Reads of all shards: which processor is asked, and how one answer comes of several."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc

from gateway import merging, routing
from gateway.detours import HOPS_BEFORE_ASKING_AROUND, PAUSE_SECONDS
from gateway.errors import Refused
from gateway.queries import QueryClient
from gateway.topology import Topology
from kit import read_tokens
from tender.v1 import lane_pb2, query_pb2

TRIES_MAX: Final = 2
"""Processors that are asked for the same: every one can read every shard."""
HOPS_MAX: Final = 40
"""Shards that a read is sent to while its bucket moves: for about a second."""
_LOOKED_FOR: Final = frozenset({lane_pb2.METHOD_GET_PAYMENT, lane_pb2.METHOD_GET_REQUEST})
_NOT_FOUND: Final = frozenset({"PAYMENT_UNKNOWN", "REQUEST_UNKNOWN"})


class Reads:
    """Asks the processor that holds a shard's lane, or another one if that is away."""

    def __init__(
        self, topology: Topology, clients: Mapping[str, QueryClient], *, region: str
    ) -> None:
        """`clients` by the processors' targets."""
        self._topology = topology
        self._clients = clients
        self._region = region
        self._turn = 0

    async def read(
        self,
        method: int,
        request: Any,
        data: bytes,
        principal: lane_pb2.Principal,
        timeout_seconds: float,
    ) -> bytes:
        """Return the public response to a valid request, serialized, or raise Refused."""
        shards = self._topology.shards
        if len(shards) <= 1:
            return await self._ask("", method, data, principal, timeout_seconds)
        place = routing.ROUTES[method](request, self._region)
        if place != routing.EVERYWHERE:
            return await self._ask_owner(place, method, data, principal, timeout_seconds)
        # Here a token says nothing of the other shards; those get none.
        tokens = read_tokens.parse(request.read_token)
        if not {token.shard for token in tokens} <= set(shards):
            raise Refused("READ_TOKEN_ELSEWHERE")
        if tokens:
            request.read_token = ""
            data = request.SerializeToString()
        floors = {shard: str(read_tokens.of_shard(tokens, shard) or "") for shard in shards}
        if method in _LOOKED_FOR:
            return await self._find(floors, method, data, principal, timeout_seconds)
        return await self._list(floors, method, request, principal, timeout_seconds)

    async def _ask_owner(
        self,
        place: routing.Place,
        method: int,
        data: bytes,
        principal: lane_pb2.Principal,
        timeout_seconds: float,
    ) -> bytes:
        """Ask the map's shard, and then whom it names: what moves is nobody's for a moment."""
        deadline, hint = time.monotonic() + timeout_seconds, ""
        for hop in range(HOPS_MAX):
            shards = sorted(self._topology.shards)
            shard = hint if hint in shards else self._topology.shard_of(place)
            if hop > HOPS_BEFORE_ASKING_AROUND:
                shard = shards[hop % len(shards)]
            left = deadline - time.monotonic()
            try:
                return await self._ask(shard, method, data, principal, max(left, 0.001))
            except Refused as refused:
                if refused.reason != "BUCKET_ELSEWHERE" or hop == HOPS_MAX - 1:
                    raise
                came_back = refused.metadata.get("shard", "") in ("", shard)
                hint = "" if came_back else refused.metadata["shard"]
                if time.monotonic() + PAUSE_SECONDS >= deadline:
                    raise
            if hop or not hint:
                await asyncio.sleep(PAUSE_SECONDS)
        raise Refused("BUCKET_ELSEWHERE")

    async def _ask(
        self,
        shard: str,
        method: int,
        data: bytes,
        principal: lane_pb2.Principal,
        timeout_seconds: float,
        *,
        before: str = "",
        read_token: str = "",
    ) -> bytes:
        part = {"shard": shard, "before": before, "read_token": read_token}
        deadline = time.monotonic() + timeout_seconds
        clients = self._in_order(shard)
        for client in clients[:-1]:
            # So that time is left for another one when this one hangs.
            share = (deadline - time.monotonic()) / 2
            try:
                return await client.read(method, data, principal, share, **part)
            except Refused as refused:
                if refused.reason != "SHARD_UNAVAILABLE":
                    raise
        left = max(deadline - time.monotonic(), 0.001)
        return await clients[-1].read(method, data, principal, left, **part)

    def _in_order(self, shard: str) -> Sequence[QueryClient]:
        holder = self._topology.holder(shard)
        others = [target for target in self._clients if target != holder]
        self._turn += 1
        if others:
            turn = self._turn % len(others)
            others = others[turn:] + others[:turn]
        targets = [holder, *others] if holder is not None else others
        return [self._clients[target] for target in targets[:TRIES_MAX]]

    async def _find(
        self,
        floors: Mapping[str, str],
        method: int,
        data: bytes,
        principal: lane_pb2.Principal,
        timeout_seconds: float,
    ) -> bytes:
        """Return what the shards have; it is unknown only if every one of them says so."""
        answers = await asyncio.gather(
            *(
                self._ask(shard, method, data, principal, timeout_seconds, read_token=floors[shard])
                for shard in sorted(floors)
            ),
            return_exceptions=True,
        )
        found = [answer for answer in answers if isinstance(answer, bytes)]
        if found:
            # Messages one after the other are one message, with all that is repeated in them.
            return b"".join(found) if method == lane_pb2.METHOD_GET_REQUEST else found[0]
        raise min(
            (answer for answer in answers if isinstance(answer, BaseException)),
            key=lambda error: isinstance(error, Refused) and error.reason in _NOT_FOUND,
        )

    async def _list(
        self,
        floors: Mapping[str, str],
        method: int,
        request: Any,
        principal: lane_pb2.Principal,
        timeout_seconds: float,
    ) -> bytes:
        """Return one page of what all the shards have, newest first."""
        kind, shards = merging.KINDS[method], sorted(floors)
        filters = (principal.tenant_id, principal.merchant_id, *kind.filters(request))
        places = merging.read_token(request.page_token, filters, shards)
        asked = [shard for shard in shards if places[shard] is not None]
        answers = await asyncio.gather(
            *(
                self._ask(
                    shard,
                    method,
                    *(_part(request, places[shard]), principal, timeout_seconds),
                    before=_below(places[shard]),
                    read_token=floors[shard],
                )
                for shard in asked
            )
        )
        pages = {
            shard: kind.response.FromString(answer)
            for shard, answer in zip(asked, answers, strict=True)
        }
        merged = merging.merge(kind, pages, places, request.page_size)
        answer: bytes = merging.response(kind, pages, merged, filters).SerializeToString()
        return answer

    async def get_api_key(
        self, key_id: str, timeout_seconds: float, *, waits: bool = False
    ) -> query_pb2.GetApiKeyResponse | None:
        """Return a key's record, or None when there is no such key; raises AioRpcError."""
        clients = self._in_order("")
        for client in clients[:-1]:
            try:
                return await client.get_api_key(key_id, timeout_seconds / 2)
            except grpc.aio.AioRpcError:
                continue
        return await clients[-1].get_api_key(key_id, timeout_seconds / len(clients), waits=waits)


def _part(request: Any, place: str | None) -> bytes:
    """Return the request for one shard's part of a list."""
    request.page_token = place[1:] if place and place.startswith(".") else ""
    part: bytes = request.SerializeToString()
    return part


def _below(place: str | None) -> str:
    """Return the id below which a shard's part begins, where no page token says it."""
    return "" if place is None or place.startswith(".") else place
