"""The calls of WebhookService."""

import datetime
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from tender.calls import Call, Method, chosen
from tender.v1 import webhook_pb2 as pb

_SERVICE = "WebhookService"
CREATE = Method.of(f"{_SERVICE}/CreateWebhookEndpoint", pb.CreateWebhookEndpointResponse)
GET = Method.of(f"{_SERVICE}/GetWebhookEndpoint", pb.GetWebhookEndpointResponse)
LIST = Method.of(f"{_SERVICE}/ListWebhookEndpoints", pb.ListWebhookEndpointsResponse)
UPDATE = Method.of(f"{_SERVICE}/UpdateWebhookEndpoint", pb.UpdateWebhookEndpointResponse)
DELETE = Method.of(f"{_SERVICE}/DeleteWebhookEndpoint", pb.DeleteWebhookEndpointResponse)
ROTATE = Method.of(f"{_SERVICE}/RotateWebhookSecret", pb.RotateWebhookSecretResponse)
DELIVERIES = Method.of(f"{_SERVICE}/ListWebhookDeliveries", pb.ListWebhookDeliveriesResponse)
REDELIVER = Method.of(f"{_SERVICE}/RedeliverWebhook", pb.RedeliverWebhookResponse)


def create(
    *,
    url: str,
    merchant_id: str = "",
    event_types: Sequence[str] = (),
    description: str = "",
    request_id: str | None = None,
    timeout: float | None = None,
) -> Call[pb.CreateWebhookEndpointResponse]:
    """Registers an endpoint; the answer has its secret, which no other call shows."""
    key = chosen(request_id)
    request = pb.CreateWebhookEndpointRequest(
        request_id=key,
        merchant_id=merchant_id,
        url=url,
        event_types=event_types,
        description=description,
    )
    return Call(CREATE, request, timeout, key)


def get(*, endpoint_id: str, timeout: float | None = None) -> Call[pb.GetWebhookEndpointResponse]:
    """Returns an endpoint."""
    return Call(GET, pb.GetWebhookEndpointRequest(endpoint_id=endpoint_id), timeout)


def page(
    *,
    merchant_id: str = "",
    state: pb.WebhookEndpoint.State = pb.WebhookEndpoint.STATE_UNSPECIFIED,
    page_size: int = 0,
    page_token: str = "",
    timeout: float | None = None,
) -> Call[pb.ListWebhookEndpointsResponse]:
    """Returns a page of endpoints, newest first."""
    request = pb.ListWebhookEndpointsRequest(
        merchant_id=merchant_id, state=state, page_size=page_size, page_token=page_token
    )
    return Call(LIST, request, timeout)


def update(
    *,
    endpoint_id: str,
    url: str | None = None,
    event_types: Sequence[str] | None = None,
    description: str | None = None,
    state: pb.WebhookEndpoint.State | None = None,
    timeout: float | None = None,
) -> Call[pb.UpdateWebhookEndpointResponse]:
    """Changes what is given and leaves the rest as it is."""
    changes = {
        "url": url,
        "event_types": event_types,
        "description": description,
        "state": state,
    }
    request = pb.UpdateWebhookEndpointRequest(
        endpoint=pb.WebhookEndpoint(
            id=endpoint_id, url=url, event_types=event_types, description=description, state=state
        ),
        update_mask=FieldMask(paths=[name for name, to in changes.items() if to is not None]),
    )
    return Call(UPDATE, request, timeout)


def delete(
    *, endpoint_id: str, timeout: float | None = None
) -> Call[pb.DeleteWebhookEndpointResponse]:
    """Deletes an endpoint with its secrets and its deliveries."""
    return Call(DELETE, pb.DeleteWebhookEndpointRequest(endpoint_id=endpoint_id), timeout)


def rotate(
    *,
    endpoint_id: str,
    overlap: datetime.timedelta | None = None,
    request_id: str | None = None,
    timeout: float | None = None,
) -> Call[pb.RotateWebhookSecretResponse]:
    """Makes a new secret; earlier ones sign along for the overlap, of a day unless given."""
    key = chosen(request_id)
    request = pb.RotateWebhookSecretRequest(request_id=key, endpoint_id=endpoint_id)
    if overlap is not None:
        spoken = Duration()
        spoken.FromTimedelta(overlap)
        request.overlap.CopyFrom(spoken)
    return Call(ROTATE, request, timeout, key)


def deliveries(
    *,
    endpoint_id: str = "",
    state: pb.WebhookDelivery.State = pb.WebhookDelivery.STATE_UNSPECIFIED,
    event_id: str = "",
    page_size: int = 0,
    page_token: str = "",
    timeout: float | None = None,
) -> Call[pb.ListWebhookDeliveriesResponse]:
    """Returns a page of deliveries with their attempts, newest first."""
    request = pb.ListWebhookDeliveriesRequest(
        endpoint_id=endpoint_id,
        state=state,
        event_id=event_id,
        page_size=page_size,
        page_token=page_token,
    )
    return Call(DELIVERIES, request, timeout)


def redeliver(
    *,
    endpoint_id: str,
    delivery_id: str = "",
    failed_since: datetime.datetime | None = None,
    timeout: float | None = None,
) -> Call[pb.RedeliverWebhookResponse]:
    """Queues one delivery of an endpoint again, or those that failed since an aware time."""
    request = pb.RedeliverWebhookRequest(endpoint_id=endpoint_id)
    if delivery_id:
        request.delivery_id = delivery_id
    elif failed_since is not None:
        since = Timestamp()
        since.FromDatetime(failed_since)
        request.failed_since_time.CopyFrom(since)
    return Call(REDELIVER, request, timeout)
