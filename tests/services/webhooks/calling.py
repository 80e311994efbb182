"""Calls the service as gateways do."""

import itertools
from typing import Any, Final, TypeVar, cast

from google.protobuf.message import Message

from services.webhooks import urls
from services.webhooks.guarding import UrlGuard
from services.webhooks.resolving import GuardedResolver, Lookup
from services.webhooks.rpcs import WebhookCalls
from tender.v1 import forward_pb2, lane_pb2
from tender.v1 import webhook_pb2 as pb
from tests.services.webhooks.conftest import KEYS, TENANT, Office

Answer = TypeVar("Answer", bound=Message)
NUMBERS = itertools.count(1)
URL: Final = "https://hooks.merchant.dev/tender"


def nowhere(_host: str) -> Any:
    """A name that leads nowhere yet."""
    raise OSError("no such name")


class Refusal(Exception):
    """A call was refused."""

    def __init__(self, refusal: lane_pb2.Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.reason = refusal.reason
        self.fields = [problem.field for problem in refusal.field_problems]


class Caller:
    """Somebody with a key: a merchant's own, or one of the tenant."""

    def __init__(
        self,
        office: Office,
        merchant_id: str = "",
        tenant_id: str = TENANT,
        lookup: Lookup = nowhere,
        keys: Any = KEYS,
    ) -> None:
        guard = UrlGuard(urls.Rules(), GuardedResolver(lookup=lookup))
        self._calls = WebhookCalls(
            office.endpoints, office.deliveries, keys, guard, ("payments",)
        ).calls()
        self._principal = lane_pb2.Principal(tenant_id=tenant_id, merchant_id=merchant_id)

    async def call(self, request: Message) -> Any:
        """Return the response, or raise Refusal."""
        name = request.DESCRIPTOR.name.removesuffix("Request")
        asked = forward_pb2.CallRequest(
            method=name, request=request.SerializeToString(), principal=self._principal
        )
        answer = await self._calls.call(asked, cast(Any, None))
        if answer.HasField("refusal"):
            raise Refusal(answer.refusal)
        response: Any = getattr(pb, f"{name}Response")
        return response.FromString(answer.response)

    async def create(self, url: str = URL, **fields: Any) -> pb.CreateWebhookEndpointResponse:
        """Register an endpoint."""
        request_id = fields.pop("request_id", f"create-{next(NUMBERS)}")
        request = pb.CreateWebhookEndpointRequest(request_id=request_id, url=url, **fields)
        return cast(pb.CreateWebhookEndpointResponse, await self.call(request))

    async def update(self, endpoint_id: str, **fields: Any) -> pb.WebhookEndpoint:
        """Change what is given."""
        request = pb.UpdateWebhookEndpointRequest(
            endpoint=pb.WebhookEndpoint(id=endpoint_id, **fields)
        )
        request.update_mask.paths.extend(fields)
        return cast(pb.WebhookEndpoint, (await self.call(request)).endpoint)

    async def get(self, endpoint_id: str) -> pb.WebhookEndpoint:
        """Return an endpoint."""
        answer = await self.call(pb.GetWebhookEndpointRequest(endpoint_id=endpoint_id))
        return cast(pb.WebhookEndpoint, answer.endpoint)

    async def ids(self, **filters: Any) -> list[str]:
        """Return the ids of endpoints, page by page, two at a time."""
        found: list[str] = []
        request = pb.ListWebhookEndpointsRequest(page_size=2, **filters)
        while True:
            answer = await self.call(request)
            found += [one.id for one in answer.endpoints]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    async def deliveries(self, **filters: Any) -> list[pb.WebhookDelivery]:
        """Return deliveries, page by page, two at a time."""
        found: list[pb.WebhookDelivery] = []
        request = pb.ListWebhookDeliveriesRequest(page_size=2, **filters)
        while True:
            answer = await self.call(request)
            found += answer.deliveries
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token
