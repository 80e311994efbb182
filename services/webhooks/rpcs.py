"""Answers WebhookService. A merchant's key sees its own endpoints, and all else as if unknown."""

import datetime
from collections.abc import Collection
from typing import Final

from google.protobuf.message import Message

from kit import page_tokens
from services.calls import Calls, Refused
from services.webhooks import answers, ids, signing
from services.webhooks.delivery_store import (
    REDELIVERED_MAX,
    DeliveryStore,
    DeliveryUnknown,
    EndpointDisabled,
    EndpointUnknown,
    Wanted,
)
from services.webhooks.endpoint_store import (
    FIRST_SECRET,
    Change,
    EndpointStore,
    LimitReached,
    New,
    OtherRequest,
    Owner,
    Stored,
)
from services.webhooks.guarding import UrlGuard
from services.webhooks.requests import PAGE_SIZE_DEFAULT, Checks
from services.webhooks.sealing import Keys, place_of
from tender.v1 import lane_pb2
from tender.v1 import webhook_pb2 as pb

ENDPOINTS_MAX: Final = 20
"""Of a merchant, and of a tenant as a whole."""
SECRET_SHOWN: Final = datetime.timedelta(days=1)
"""To whoever repeats the call that made it."""
OVERLAP_DEFAULT: Final = datetime.timedelta(hours=24)
OVERLAP_MAX: Final = datetime.timedelta(days=7)
ROTATE_TRIES_MAX: Final = 3
CHANGEABLE: Final = frozenset({"url", "event_types", "description", "state"})

Principal = lane_pb2.Principal


class WebhookCalls:
    """The methods of the service."""

    def __init__(
        self,
        endpoints: EndpointStore,
        deliveries: DeliveryStore,
        keys: Keys,
        guard: UrlGuard,
        topics: Collection[str],
    ) -> None:
        """`topics` are those that events are taken from."""
        self._topics = topics
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._keys = keys
        self._guard = guard

    def calls(self) -> Calls:
        """Return them as gateways call them."""
        return Calls(
            {
                "CreateWebhookEndpoint": (pb.CreateWebhookEndpointRequest, self.create),
                "GetWebhookEndpoint": (pb.GetWebhookEndpointRequest, self.get),
                "ListWebhookEndpoints": (pb.ListWebhookEndpointsRequest, self.page),
                "UpdateWebhookEndpoint": (pb.UpdateWebhookEndpointRequest, self.update),
                "DeleteWebhookEndpoint": (pb.DeleteWebhookEndpointRequest, self.delete),
                "RotateWebhookSecret": (pb.RotateWebhookSecretRequest, self.rotate),
                "ListWebhookDeliveries": (pb.ListWebhookDeliveriesRequest, self.deliveries),
                "RedeliverWebhook": (pb.RedeliverWebhookRequest, self.redeliver),
            }
        )

    async def create(
        self, request: pb.CreateWebhookEndpointRequest, principal: Principal
    ) -> Message:
        owner = _owner(principal)
        merchant_id = request.merchant_id or owner.merchant_id
        checks = Checks(self._topics)
        checks.request_id(request.request_id)
        checks.merchant_id(request.merchant_id)
        checks.event_types(request.event_types, merchant_id)
        checks.description(request.description)
        checks.done()
        if owner.merchant_id not in ("", merchant_id):
            raise Refused("MERCHANT_UNKNOWN")
        await self._guard.require(request.url, "url")
        new = New(
            ids.new(ids.ENDPOINT),
            merchant_id,
            request.url,
            list(request.event_types),
            request.description,
        )
        secret = signing.new_secret()
        sealed = self._keys.seal(secret, place_of(new.endpoint_id, FIRST_SECRET))
        try:
            endpoint_id = await self._endpoints.create(
                owner, request.request_id, new, sealed, ENDPOINTS_MAX
            )
        except LimitReached:
            raise Refused(
                "WEBHOOK_ENDPOINT_LIMIT", metadata={"maximum": str(ENDPOINTS_MAX)}
            ) from None
        except OtherRequest as other:
            fields = ",".join(other.fields)
            raise Refused("REQUEST_ID_REUSED", metadata={"fields": fields}) from None
        return pb.CreateWebhookEndpointResponse(
            endpoint=await self._find(owner, endpoint_id),
            secret=self._shown(endpoint_id, await self._endpoints.secret(endpoint_id)),
        )

    async def get(self, request: pb.GetWebhookEndpointRequest, principal: Principal) -> Message:
        _check_endpoint(request.endpoint_id)
        return pb.GetWebhookEndpointResponse(
            endpoint=await self._find(_owner(principal), request.endpoint_id)
        )

    async def page(self, request: pb.ListWebhookEndpointsRequest, principal: Principal) -> Message:
        checks = Checks()
        checks.merchant_id(request.merchant_id)
        checks.page(request.page_size, request.page_token)
        state = answers.name_of(answers.ENDPOINT_STATES, request.state)
        if request.state and not state:
            checks.add("state", "Must be a state that this version knows.")
        checks.done()
        owner = _owner(principal)
        filters = ("webhook-endpoints", *owner, request.merchant_id, state)
        size = request.page_size or PAGE_SIZE_DEFAULT
        before = _before(request.page_token, filters)
        rows = await self._endpoints.page(owner, request.merchant_id, state, before, size + 1)
        found = [answers.endpoint(row) for row in rows[:size]]
        token = _token(found[-1].id, filters) if len(rows) > size else ""
        return pb.ListWebhookEndpointsResponse(endpoints=found, next_page_token=token)

    async def update(
        self, request: pb.UpdateWebhookEndpointRequest, principal: Principal
    ) -> Message:
        owner, wanted, paths = _owner(principal), request.endpoint, set(request.update_mask.paths)
        checks = Checks(self._topics)
        checks.endpoint_id(wanted.id, "endpoint.id")
        if not paths or not paths <= CHANGEABLE:
            checks.add("update_mask", f"Must name some of {', '.join(sorted(CHANGEABLE))}.")
        state = answers.name_of(answers.ENDPOINT_STATES, wanted.state)
        if "state" in paths and not state:
            checks.add("endpoint.state", "Must be enabled or disabled.")
        if "description" in paths:
            checks.description(wanted.description, "endpoint.description")
        checks.done()
        before = await self._find(owner, wanted.id)
        if "event_types" in paths:
            checks.event_types(wanted.event_types, before.merchant_id, "endpoint.event_types")
            checks.done()
        if "url" in paths:
            await self._guard.require(wanted.url, "endpoint.url")

        def decide(row: answers.Row) -> Change:
            new_state = state if "state" in paths else row["state"]
            cause = "requested" if "state" in paths else row["disabled_cause"]
            return Change(
                wanted.url if "url" in paths else row["url"],
                list(wanted.event_types) if "event_types" in paths else row["event_types"],
                wanted.description if "description" in paths else row["description"],
                new_state,
                cause if new_state == "disabled" else "",
                new_state == "enabled" and bool(paths & {"state", "url"}),
            )

        row = await self._endpoints.change(owner, wanted.id, decide)
        if row is None:
            raise Refused("WEBHOOK_ENDPOINT_UNKNOWN")
        return pb.UpdateWebhookEndpointResponse(endpoint=answers.endpoint(row))

    async def delete(
        self, request: pb.DeleteWebhookEndpointRequest, principal: Principal
    ) -> Message:
        _check_endpoint(request.endpoint_id)
        if not await self._endpoints.delete(_owner(principal), request.endpoint_id):
            raise Refused("WEBHOOK_ENDPOINT_UNKNOWN")
        return pb.DeleteWebhookEndpointResponse()

    async def rotate(self, request: pb.RotateWebhookSecretRequest, principal: Principal) -> Message:
        checks = Checks()
        checks.request_id(request.request_id)
        checks.endpoint_id(request.endpoint_id)
        overlap = OVERLAP_DEFAULT
        if request.HasField("overlap"):
            overlap = datetime.timedelta(seconds=request.overlap.seconds)
            if not datetime.timedelta(0) <= overlap <= OVERLAP_MAX or request.overlap.nanos:
                checks.add("overlap", "Must be whole seconds, 0 to 7 days.")
        checks.done()
        owner, endpoint_id = _owner(principal), request.endpoint_id
        # The number is part of what is encrypted, and another call may take it meanwhile.
        for _ in range(ROTATE_TRIES_MAX):
            number = await self._endpoints.next_number(owner, endpoint_id)
            if number is None:
                raise Refused("WEBHOOK_ENDPOINT_UNKNOWN")
            sealed = self._keys.seal(signing.new_secret(), place_of(endpoint_id, number))
            if await self._endpoints.rotate(
                owner, endpoint_id, request.request_id, number, sealed, overlap
            ):
                break
        else:
            raise Refused("REQUEST_IN_PROGRESS")
        stored = await self._endpoints.secret(endpoint_id, request.request_id)
        end = await self._endpoints.overlap_end(endpoint_id, stored.number) if stored else None
        return pb.RotateWebhookSecretResponse(
            secret=self._shown(endpoint_id, stored), overlap_end_time=answers.moment(end)
        )

    async def deliveries(
        self, request: pb.ListWebhookDeliveriesRequest, principal: Principal
    ) -> Message:
        checks = Checks()
        if request.endpoint_id:
            checks.endpoint_id(request.endpoint_id)
        checks.event_id(request.event_id)
        checks.page(request.page_size, request.page_token)
        state = answers.name_of(answers.DELIVERY_STATES, request.state)
        if request.state and not state:
            checks.add("state", "Must be a state that this version knows.")
        checks.done()
        owner = _owner(principal)
        if request.endpoint_id:
            await self._find(owner, request.endpoint_id)
        wanted = Wanted(request.endpoint_id, state, request.event_id)
        filters = ("webhook-deliveries", *owner, *wanted)
        size = request.page_size or PAGE_SIZE_DEFAULT
        before = _before(request.page_token, filters)
        rows = await self._deliveries.page(owner, wanted, before, size + 1)
        attempts = await self._deliveries.attempts([row["delivery_id"] for row in rows[:size]])
        found = [answers.delivery(row, attempts.get(row["delivery_id"], ())) for row in rows[:size]]
        token = _token(found[-1].id, filters) if len(rows) > size else ""
        return pb.ListWebhookDeliveriesResponse(deliveries=found, next_page_token=token)

    async def redeliver(self, request: pb.RedeliverWebhookRequest, principal: Principal) -> Message:
        checks = Checks()
        checks.endpoint_id(request.endpoint_id)
        match request.WhichOneof("which"):
            case "delivery_id":
                checks.delivery_id(request.delivery_id)
            case "failed_since_time":
                if not _is_a_time(request):
                    checks.add("failed_since_time", "Must be a time.")
            case _:
                checks.add("which", "Must be set.")
        checks.done()
        owner, endpoint_id = _owner(principal), request.endpoint_id
        try:
            if request.delivery_id:
                queued = await self._deliveries.redeliver_one(
                    owner, endpoint_id, request.delivery_id
                )
                return pb.RedeliverWebhookResponse(queued=queued)
            since = request.failed_since_time.ToDatetime(tzinfo=datetime.UTC)
            queued = await self._deliveries.redeliver_failed(owner, endpoint_id, since)
        except EndpointUnknown:
            raise Refused("WEBHOOK_ENDPOINT_UNKNOWN") from None
        except EndpointDisabled:
            raise Refused("WEBHOOK_ENDPOINT_DISABLED") from None
        except DeliveryUnknown:
            raise Refused("WEBHOOK_DELIVERY_UNKNOWN") from None
        return pb.RedeliverWebhookResponse(queued=queued, more=queued >= REDELIVERED_MAX)

    async def _find(self, owner: Owner, endpoint_id: str) -> pb.WebhookEndpoint:
        row = await self._endpoints.get(owner, endpoint_id)
        if row is None:
            raise Refused("WEBHOOK_ENDPOINT_UNKNOWN")
        return answers.endpoint(row)

    def _shown(self, endpoint_id: str, stored: Stored | None) -> str:
        """Return a secret to whoever made it, for as long as it is shown."""
        if stored is None or stored.age > SECRET_SHOWN:
            return ""
        return self._keys.open(stored.sealed, place_of(endpoint_id, stored.number))


def _owner(principal: Principal) -> Owner:
    return Owner(principal.tenant_id, principal.merchant_id)


def _check_endpoint(endpoint_id: str) -> None:
    checks = Checks()
    checks.endpoint_id(endpoint_id)
    checks.done()


def _is_a_time(request: pb.RedeliverWebhookRequest) -> bool:
    try:
        request.failed_since_time.ToDatetime()
    except (ValueError, OverflowError):
        return False
    return True


def _before(token: str, filters: tuple[str, ...]) -> str:
    if not token:
        return ""
    try:
        return page_tokens.read(token, filters).decode("ascii")
    except (page_tokens.BadPageToken, UnicodeDecodeError):
        raise Refused("PAGE_TOKEN_INVALID") from None


def _token(last_id: str, filters: tuple[str, ...]) -> str:
    return page_tokens.write(last_id.encode(), filters)
