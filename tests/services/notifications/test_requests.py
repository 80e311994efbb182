"""What other services ask for, as it is read."""

from typing import Any

import pytest

from processor.consumers.delivery import Delivery, Partition, Readable, Unreadable
from services.notifications import requests
from tender.v1 import notification_pb2
from tests.services.notifications import makers


def delivered(value: bytes | None, headers: Any = ()) -> Delivery:
    return Delivery(Partition("notifications", 0), 1, b"anna", value, headers, 0.0)


def test_requests_are_read_with_an_id_of_their_tenants() -> None:
    request = makers.request(7)

    read = requests.read(delivered(request.SerializeToString(), [("schema-version", b"1")]))

    assert isinstance(read, Readable)
    assert read.id == "dev/req-7"
    assert read.message == request


@pytest.mark.parametrize(
    ("delivery", "cause"),
    [
        (delivered(None), "MALFORMED"),
        (delivered(b"\xff\xff"), "MALFORMED"),
        (delivered(b"x", [("schema-version", b"2")]), "UNKNOWN_VERSION"),
        (
            delivered(notification_pb2.NotificationRequest(id="a").SerializeToString()),
            "UNKNOWN_VERSION",
        ),
        (
            delivered(
                notification_pb2.NotificationRequest(id="a b", schema_version=1).SerializeToString()
            ),
            "MALFORMED",
        ),
        (
            delivered(
                notification_pb2.NotificationRequest(id="a", schema_version=1).SerializeToString()
            ),
            "MALFORMED",
        ),
    ],
)
def test_what_cannot_be_read_says_why(delivery: Delivery, cause: str) -> None:
    read = requests.read(delivery)

    assert isinstance(read, Unreadable)
    assert read.cause == cause
