"""Rows of the database as the messages of the contract. Pure."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from tender.v1 import webhook_pb2 as pb


class Row(Protocol):
    """A row, as the driver gives it."""

    def __getitem__(self, name: str, /) -> Any: ...


ENDPOINT_STATES: Final = {
    "enabled": pb.WebhookEndpoint.STATE_ENABLED,
    "disabled": pb.WebhookEndpoint.STATE_DISABLED,
}
DISABLED_CAUSES: Final = {
    "": pb.WebhookEndpoint.DISABLED_CAUSE_UNSPECIFIED,
    "requested": pb.WebhookEndpoint.DISABLED_CAUSE_REQUESTED,
    "failing": pb.WebhookEndpoint.DISABLED_CAUSE_FAILING,
    "gone": pb.WebhookEndpoint.DISABLED_CAUSE_GONE,
}
DELIVERY_STATES: Final = {
    "pending": pb.WebhookDelivery.STATE_PENDING,
    "delivered": pb.WebhookDelivery.STATE_DELIVERED,
    "failed": pb.WebhookDelivery.STATE_FAILED,
}


def endpoint(row: Row) -> pb.WebhookEndpoint:
    """Return an endpoint with the state of its queue."""
    return pb.WebhookEndpoint(
        id=row["endpoint_id"],
        merchant_id=row["merchant_id"],
        url=row["url"],
        event_types=row["event_types"],
        description=row["description"],
        state=ENDPOINT_STATES[row["state"]],
        disabled_cause=DISABLED_CAUSES[row["disabled_cause"]],
        disable_time=moment(row["disabled_at"]),
        create_time=moment(row["created_at"]),
        update_time=moment(row["updated_at"]),
        last_success_time=moment(row["last_success_at"]),
        failing_since_time=moment(row["failing_since"]),
        failures=row["failures"],
        pending=row["pending"],
    )


def delivery(row: Row, attempts: Sequence[Row]) -> pb.WebhookDelivery:
    """Return a delivery with its latest attempts."""
    return pb.WebhookDelivery(
        id=row["delivery_id"],
        endpoint_id=row["endpoint_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        entity_id=row["entity_id"],
        state=DELIVERY_STATES[row["state"]],
        cause=row["cause"],
        create_time=moment(row["created_at"]),
        end_time=moment(row["ended_at"]),
        next_attempt_time=moment(row["next_at"]),
        attempts=map(attempt, attempts),
        attempt_count=row["attempts"],
    )


def attempt(row: Row) -> pb.WebhookAttempt:
    """Return an attempt."""
    made = pb.WebhookAttempt(
        number=row["number"],
        start_time=moment(row["started_at"]),
        status_code=row["status_code"],
        cause=row["cause"],
    )
    made.duration.FromMilliseconds(row["duration_ms"])
    return made


def moment(at: datetime.datetime | None) -> Timestamp | None:
    """Return a time, or nothing."""
    if at is None:
        return None
    made = Timestamp()
    made.FromDatetime(at)
    return made


def name_of(states: Mapping[str, int], number: int) -> str:
    """Return what a state is called in the database; empty for the one that is not said."""
    return next((name for name, state in states.items() if state == number), "")
