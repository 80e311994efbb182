"""Whose a webhook endpoint is to be: only the shards know merchants, and the service asks none."""

from typing import Final

from google.protobuf.message import DecodeError

from gateway import access, methods, validation
from gateway.endpoint import Backends
from gateway.errors import Refused
from gateway.forwarding import ForwardEndpoint
from gateway.identity import Identity
from tender.v1 import lane_pb2, merchant_pb2, webhook_pb2

METHOD: Final = "CreateWebhookEndpoint"
_GET: Final = lane_pb2.METHOD_GET_MERCHANT


class CreationEndpoint(ForwardEndpoint):
    """The method that registers an endpoint, for a merchant that is the tenant's."""

    def __init__(self, route: methods.Forwarded, backends: Backends) -> None:
        super().__init__(route, backends)
        self._read = backends.queries.read

    async def look_at(self, data: bytes, caller: Identity, timeout_seconds: float) -> None:
        """Refuse a merchant that the caller has not; what is no id is for the service to refuse."""
        try:
            merchant_id = webhook_pb2.CreateWebhookEndpointRequest.FromString(data).merchant_id
            asked = merchant_pb2.GetMerchantRequest(merchant_id=merchant_id)
            validation.validate(_GET, asked)
        except (DecodeError, Refused):
            return
        access.RULES[_GET](asked, caller)
        await self._read(_GET, asked, asked.SerializeToString(), caller.principal, timeout_seconds)
