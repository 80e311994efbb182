"""Reads: one unary call to the processor each."""

from typing import Final

import grpc

from gateway import errors
from gateway.errors import Refused
from kit import internal_auth
from tender.v1 import lane_pb2, query_pb2

READ: Final = "/tender.v1.QueryService/Read"
GET_API_KEY: Final = "/tender.v1.QueryService/GetApiKey"

_AWAY: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class ReadFailed(Exception):
    """The processor failed at a read in a way that is nobody's but ours."""


class QueryClient:
    """The gateway's end of QueryService."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._metadata = internal_auth.metadata(token)
        self._read = channel.unary_unary(
            READ,
            request_serializer=query_pb2.ReadRequest.SerializeToString,
            response_deserializer=query_pb2.ReadResponse.FromString,
        )
        self._get_api_key = channel.unary_unary(
            GET_API_KEY,
            request_serializer=query_pb2.GetApiKeyRequest.SerializeToString,
            response_deserializer=query_pb2.GetApiKeyResponse.FromString,
        )

    async def read(
        self,
        method: int,
        request: bytes,
        principal: lane_pb2.Principal,
        timeout_seconds: float,
        *,
        shard: str = "",
        before: str = "",
        read_token: str = "",
    ) -> bytes:
        """Return the public response, serialized, or raise Refused."""
        query = query_pb2.ReadRequest(
            method=method,  # type: ignore[arg-type]  # The stubs want the enum.
            request=request,
            principal=principal,
            shard=shard,
            before=before,
            read_token=read_token,
        )
        try:
            answer = await self._read(query, timeout=timeout_seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in _AWAY:
                raise Refused("SHARD_UNAVAILABLE") from None
            raise ReadFailed(error.code().name) from None
        match answer.WhichOneof("result"):
            case "response":
                return answer.response
            case "refusal":
                raise errors.from_refusal(answer.refusal)
            case _:
                raise ReadFailed("the answer is empty")

    async def get_api_key(
        self, key_id: str, timeout_seconds: float, *, waits: bool = False
    ) -> query_pb2.GetApiKeyResponse | None:
        """Return a key's record; `waits` for a processor that is not there yet, if told so."""
        try:
            return await self._get_api_key(
                query_pb2.GetApiKeyRequest(key_id=key_id),
                timeout=timeout_seconds,
                wait_for_ready=waits,
                metadata=self._metadata,
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
