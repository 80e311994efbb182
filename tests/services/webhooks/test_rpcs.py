"""WebhookService on a real database: who sees what, repeats, rotation, the log and redelivery."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from standardwebhooks import Webhook

from services.webhooks import rpcs
from services.webhooks.resolving import Found
from tender.v1 import webhook_pb2 as pb
from tests.services.webhooks.calling import URL, Caller, Refusal
from tests.services.webhooks.conftest import (
    MERCHANT,
    OTHER_MERCHANT,
    Office,
    Recorder,
    attempted,
    ended,
    event,
    running,
    worker_of,
)
from tests.services.webhooks.receiver import receiving, status

UNKNOWN = "whe_" + "0" * 32
UNKNOWN_DELIVERY = "whd_" + "0" * 32


async def refused(call: Awaitable[Any]) -> Refusal:
    with pytest.raises(Refusal) as told:
        await call
    return told.value


async def test_an_endpoint_is_created_with_a_secret_that_nothing_else_shows(
    office: Office,
) -> None:
    merchant = Caller(office, MERCHANT)

    made = await merchant.create(event_types=["payment_captured"], description="till 7")

    assert made.endpoint.merchant_id == MERCHANT
    assert made.endpoint.state == pb.WebhookEndpoint.STATE_ENABLED
    Webhook(made.secret).sign("evt_1", made.endpoint.create_time.ToDatetime(), "{}")
    assert await merchant.get(made.endpoint.id) == made.endpoint
    for table in ("endpoints", "secrets", "queues"):
        rows = await office.fetch(f"SELECT t::text FROM {table} AS t")
        assert made.secret.removeprefix("whsec_") not in str(rows)


async def test_a_repeated_creation_gives_the_same_endpoint_and_secret(office: Office) -> None:
    caller = Caller(office)
    first = await caller.create(request_id="one", merchant_id=MERCHANT)

    again = await caller.create(request_id="one", merchant_id=MERCHANT)
    other = await refused(caller.create(request_id="one", merchant_id=OTHER_MERCHANT))
    await office.fetch("UPDATE secrets SET created_at = now() - interval '25 hours'")
    later = await caller.create(request_id="one", merchant_id=MERCHANT)

    assert again == first
    assert other.reason == "REQUEST_ID_REUSED"
    assert other.refusal.metadata["fields"] == "merchant_id"
    assert (later.endpoint, later.secret) == (first.endpoint, "")
    assert await caller.ids() == [first.endpoint.id]


async def test_creations_at_once_keep_to_the_limit_and_to_their_request(office: Office) -> None:
    caller = Caller(office, MERCHANT)
    same = await asyncio.gather(*(caller.create(request_id="one") for _ in range(5)))
    ends = await asyncio.gather(
        *(caller.create() for _ in range(rpcs.ENDPOINTS_MAX + 4)), return_exceptions=True
    )

    assert len({made.endpoint.id for made in same}) == 1
    assert len({made.secret for made in same}) == 1
    reasons = [end.reason for end in ends if isinstance(end, Refusal)]
    assert reasons == ["WEBHOOK_ENDPOINT_LIMIT"] * 5
    assert len(await caller.ids()) == rpcs.ENDPOINTS_MAX


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://hooks.merchant.dev/", "NOT_HTTPS"),
        ("https://10.0.0.1/", "NOT_A_NAME"),
        ("https://a:b@hooks.merchant.dev/", "CREDENTIALS"),
        ("https://hooks.merchant.dev:22/", "PORT"),
        ("nonsense", "NOT_A_URL"),
    ],
)
async def test_a_bad_url_is_refused_with_its_cause(office: Office, url: str, cause: str) -> None:
    caller = Caller(office)
    fine = await caller.create()

    told = await refused(caller.create(url))
    changed = await refused(caller.update(fine.endpoint.id, url=url))

    assert (told.reason, told.fields) == ("WEBHOOK_URL_REFUSED", ["url"])
    assert told.refusal.metadata["cause"] == cause
    assert (changed.reason, changed.fields) == ("WEBHOOK_URL_REFUSED", ["endpoint.url"])


async def test_a_name_that_leads_inside_is_refused_and_the_address_not_told(
    office: Office,
) -> None:
    caller = Caller(office, lookup=lambda _: [Found(socket.AF_INET, "10.1.2.3")])

    told = await refused(caller.create())

    assert told.refusal.metadata["cause"] == "PRIVATE_ADDRESS"
    assert "10.1.2.3" not in str(told.refusal)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"request_id": ""}, "request_id"),
        ({"request_id": "x" * 256}, "request_id"),
        ({"merchant_id": "mer_1"}, "merchant_id"),
        ({"event_types": ["payment_lost"]}, "event_types"),
        ({"event_types": ["payment_captured"] * 2}, "event_types"),
        ({"event_types": ["account_updated"]}, "event_types"),
        (
            {"merchant_id": MERCHANT, "event_types": ["payment_reversed_before_arrival"]},
            "event_types",
        ),
        ({"description": "a\nb"}, "description"),
        ({"description": "4111 1111 1111 1111"}, "description"),
    ],
)
async def test_a_bad_field_is_named(office: Office, fields: dict[str, Any], field: str) -> None:
    told = await refused(Caller(office).create(**fields))

    assert (told.reason, told.fields) == ("FIELD_INVALID", [field])


async def test_a_merchant_s_key_sees_and_changes_nothing_of_others(office: Office) -> None:
    tenant, mine, theirs = Caller(office), Caller(office, MERCHANT), Caller(office, OTHER_MERCHANT)
    elsewhere = Caller(office, tenant_id="other")
    own = await mine.create()
    whole = await tenant.create()
    await office.happen(event(1))
    [delivery] = await office.fetch(
        "SELECT delivery_id FROM deliveries WHERE endpoint_id = $1", own.endpoint.id
    )
    refusals: list[Callable[[Caller, str], Awaitable[Any]]] = [
        lambda who, id: who.get(id),
        lambda who, id: who.update(id, description="x"),
        lambda who, id: who.call(pb.DeleteWebhookEndpointRequest(endpoint_id=id)),
        lambda who, id: who.call(pb.RotateWebhookSecretRequest(request_id="r", endpoint_id=id)),
        lambda who, id: who.deliveries(endpoint_id=id),
        lambda who, id: who.call(
            pb.RedeliverWebhookRequest(endpoint_id=id, delivery_id=delivery["delivery_id"])
        ),
    ]

    for call in refusals:
        for who, endpoint_id in (
            (theirs, own.endpoint.id),
            (mine, whole.endpoint.id),
            (elsewhere, own.endpoint.id),
            (elsewhere, whole.endpoint.id),
            (tenant, UNKNOWN),
        ):
            assert (await refused(call(who, endpoint_id))).reason == "WEBHOOK_ENDPOINT_UNKNOWN"

    assert await theirs.ids() == await elsewhere.ids() == []
    assert await theirs.deliveries() == await elsewhere.deliveries() == []
    assert await mine.ids() == [own.endpoint.id]
    assert [one.endpoint_id for one in await mine.deliveries()] == [own.endpoint.id]
    assert len(await tenant.ids()) == len(await tenant.deliveries()) == 2
    assert (await refused(mine.create(merchant_id=OTHER_MERCHANT))).reason == "MERCHANT_UNKNOWN"
    assert await tenant.ids(merchant_id=MERCHANT) == [own.endpoint.id]


async def test_endpoints_are_listed_newest_first_and_by_state(office: Office) -> None:
    caller = Caller(office, MERCHANT)
    made = [(await caller.create()).endpoint.id for _ in range(5)]
    await caller.update(made[1], state=pb.WebhookEndpoint.STATE_DISABLED)

    assert await caller.ids() == sorted(made, reverse=True)
    assert await caller.ids(state=pb.WebhookEndpoint.STATE_DISABLED) == [made[1]]
    assert len(await caller.ids(state=pb.WebhookEndpoint.STATE_ENABLED)) == 4


async def test_a_page_token_of_another_list_is_refused(office: Office) -> None:
    caller = Caller(office, MERCHANT)
    for _ in range(3):
        await caller.create()
    page = await caller.call(pb.ListWebhookEndpointsRequest(page_size=2))

    for request in (
        pb.ListWebhookEndpointsRequest(page_token=page.next_page_token, merchant_id=MERCHANT),
        pb.ListWebhookDeliveriesRequest(page_token=page.next_page_token),
        pb.ListWebhookEndpointsRequest(page_token="nonsense"),
        pb.ListWebhookEndpointsRequest(page_token="x" * 600),
    ):
        assert (await refused(caller.call(request))).reason == "PAGE_TOKEN_INVALID"


async def test_an_update_changes_what_its_mask_names_and_nothing_else(office: Office) -> None:
    caller = Caller(office, MERCHANT)
    made = (await caller.create(event_types=["payment_voided"], description="one")).endpoint

    changed = await caller.update(made.id, description="two")
    emptied = await caller.update(made.id, event_types=[])

    assert (changed.description, changed.url) == ("two", URL)
    assert list(changed.event_types) == ["payment_voided"]
    assert (list(emptied.event_types), emptied.description) == ([], "two")
    for paths in ([], ["merchant_id"], ["url", "secret"]):
        request = pb.UpdateWebhookEndpointRequest(endpoint=made)
        request.update_mask.paths.extend(paths)
        assert (await refused(caller.call(request))).fields == ["update_mask"]


async def test_a_disabled_endpoint_gets_nothing_and_an_enabled_one_what_waits_at_once(
    office: Office,
) -> None:
    caller, recorder = Caller(office, MERCHANT), Recorder(500)
    endpoint = (await caller.create()).endpoint.id
    await office.happen(event(1))
    async with running(worker_of(office, recorder)):
        await attempted(office, endpoint, 1)
        disabled = await caller.update(endpoint, state=pb.WebhookEndpoint.STATE_DISABLED)
        await office.happen(event(2))
        await office.due_now(endpoint)
        await asyncio.sleep(0.3)
        assert len(recorder.sent) == 1

        enabled = await caller.update(endpoint, state=pb.WebhookEndpoint.STATE_ENABLED)
        await office.happen(event(3))
        await ended(office, endpoint, 2)

    assert disabled.disabled_cause == pb.WebhookEndpoint.DISABLED_CAUSE_REQUESTED
    assert disabled.HasField("disable_time")
    assert (enabled.disabled_cause, enabled.failures) == (0, 0)
    assert not enabled.HasField("disable_time")
    assert [event_id for _, event_id in recorder.sent] == [
        *("s1.abc.1.0", "s1.abc.1.0", "s1.abc.3.0"),
    ]


async def test_a_deleted_endpoint_is_gone_and_gets_nothing(office: Office) -> None:
    caller, recorder = Caller(office, MERCHANT), Recorder()
    endpoint = (await caller.create(request_id="one")).endpoint.id
    await office.happen(event(1))

    await caller.call(pb.DeleteWebhookEndpointRequest(endpoint_id=endpoint))
    async with running(worker_of(office, recorder)):
        await asyncio.sleep(0.3)

    assert recorder.sent == []
    assert await caller.ids() == await caller.deliveries() == []
    assert (await refused(caller.get(endpoint))).reason == "WEBHOOK_ENDPOINT_UNKNOWN"
    repeated = await refused(caller.create(request_id="one"))
    assert repeated.reason == "WEBHOOK_ENDPOINT_UNKNOWN"
    assert await office.fetch("SELECT FROM secrets") == []


async def test_for_the_overlap_both_secrets_sign_and_then_the_new_one_alone(
    office: Office, sender: Any
) -> None:
    caller = Caller(office, MERCHANT)
    async with receiving(lambda _: status(200)) as receiver:
        made = await caller.create()
        endpoint = made.endpoint.id
        await office.fetch("UPDATE endpoints SET url = $1", receiver.url)
        request = pb.RotateWebhookSecretRequest(request_id="r1", endpoint_id=endpoint)
        rotated = await caller.call(request)
        assert await caller.call(request) == rotated
        async with running(worker_of(office, sender)):
            await office.happen(event(1))
            await ended(office, endpoint, 1)
            await office.fetch("UPDATE secrets SET expires_at = now() WHERE number = 1")
            await office.happen(event(2))
            await ended(office, endpoint, 2)

    both, new_alone = receiver.received
    hours = rotated.overlap_end_time.seconds - made.endpoint.create_time.seconds
    assert 23 * 3_600 < hours < 25 * 3_600
    Webhook(made.secret).verify(both.body, both.headers)
    Webhook(rotated.secret).verify(both.body, both.headers)
    Webhook(rotated.secret).verify(new_alone.body, new_alone.headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(made.secret).verify(new_alone.body, new_alone.headers)


async def test_without_an_overlap_no_earlier_secret_signs_any_more(office: Office) -> None:
    caller = Caller(office, MERCHANT)
    endpoint = (await caller.create()).endpoint.id
    await caller.call(pb.RotateWebhookSecretRequest(request_id="r1", endpoint_id=endpoint))
    last = pb.RotateWebhookSecretRequest(request_id="r2", endpoint_id=endpoint)
    last.overlap.seconds = 0
    await caller.call(last)
    await office.happen(event(1))
    store = office.store()
    [claim] = await store.claim(1)

    work = await store.load(claim, 1)

    assert work is not None
    assert [number for number, _ in work.secrets] == [3]


async def test_rotations_at_once_each_make_their_secret(office: Office) -> None:
    caller = Caller(office, MERCHANT)
    endpoint = (await caller.create()).endpoint.id
    ends = await asyncio.gather(
        *(
            caller.call(pb.RotateWebhookSecretRequest(request_id=f"r{n}", endpoint_id=endpoint))
            for n in range(3)
        )
    )

    assert len({end.secret for end in ends}) == 3


@pytest.mark.parametrize("seconds", [-1, 7 * 86_400 + 1])
async def test_an_overlap_out_of_range_is_refused(office: Office, seconds: int) -> None:
    request = pb.RotateWebhookSecretRequest(request_id="r1", endpoint_id=UNKNOWN)
    request.overlap.seconds = seconds

    assert (await refused(Caller(office).call(request))).fields == ["overlap"]


async def test_the_log_shows_attempts_and_is_filtered(office: Office) -> None:
    caller = Caller(office, MERCHANT)
    endpoint = (await caller.create()).endpoint.id
    other = (await caller.create()).endpoint.id
    await office.happen(event(1), event(2))
    async with running(worker_of(office, Recorder(500))):
        await attempted(office, endpoint, 1)
        await attempted(office, other, 1)
        for one in (endpoint, other):
            await office.due_now(one)
            await ended(office, one, 2)

    found = await caller.deliveries()
    first, *_ = await caller.deliveries(event_id="s1.abc.1.0")
    tried = [one for one in found if one.attempt_count == 2]

    assert [one.id for one in found] == sorted((one.id for one in found), reverse=True)
    assert len(found) == 4
    assert len(await caller.deliveries(endpoint_id=endpoint)) == 2
    assert await caller.deliveries(state=pb.WebhookDelivery.STATE_FAILED) == []
    assert len(await caller.deliveries(state=pb.WebhookDelivery.STATE_DELIVERED)) == 4
    assert first.event_id == "s1.abc.1.0"
    assert (first.event_type, first.entity_id) == ("payment_captured", "pay_1")
    [failed, succeeded] = tried[0].attempts
    assert (failed.number, failed.status_code, failed.cause) == (1, 500, "STATUS")
    assert (succeeded.number, succeeded.status_code, succeeded.cause) == (2, 200, "")
    assert failed.duration.ToMilliseconds() == 10


async def test_a_delivery_is_made_again_with_the_same_id_and_body(
    office: Office, sender: Any
) -> None:
    caller = Caller(office, MERCHANT)
    async with receiving(lambda _: status(200)) as receiver:
        endpoint = (await caller.create()).endpoint.id
        await office.fetch("UPDATE endpoints SET url = $1", receiver.url)
        await office.happen(event(1))
        async with running(worker_of(office, sender)):
            await ended(office, endpoint, 1)
            [delivery] = await caller.deliveries()
            request = pb.RedeliverWebhookRequest(endpoint_id=endpoint, delivery_id=delivery.id)
            answer = await caller.call(request)
            await attempted(office, endpoint, 2)

    first, second = receiver.received
    assert answer == pb.RedeliverWebhookResponse(queued=1)
    assert (first.event_id, first.body) == (second.event_id, second.body)


async def test_what_failed_is_queued_again_in_its_order_behind_what_waits(office: Office) -> None:
    caller = Caller(office, MERCHANT)
    endpoint = (await caller.create()).endpoint.id
    await office.happen(*(event(number) for number in range(1, 6)))
    await office.fetch(
        "UPDATE deliveries SET state = 'failed', cause = 'TOO_OLD', ended_at = now(),"
        " created_at = now() - interval '1 hour' * substr(event_id, 8, 1)::integer"
        " WHERE event_id <> 's1.abc.5.0'"
    )
    request = pb.RedeliverWebhookRequest(endpoint_id=endpoint)
    request.failed_since_time.GetCurrentTime()
    request.failed_since_time.seconds -= 3 * 3_600 + 1_800
    answer = await caller.call(request)
    again = await caller.call(request)
    recorder = Recorder()
    async with running(worker_of(office, recorder)):
        await ended(office, endpoint, 5)

    assert (answer.queued, answer.more, again.queued) == (3, False, 0)
    assert [event_id for _, event_id in recorder.sent] == [
        f"s1.abc.{number}.0" for number in (5, 1, 2, 3)
    ]


async def test_what_cannot_be_delivered_again_is_said(office: Office) -> None:
    caller = Caller(office, MERCHANT)
    endpoint = (await caller.create()).endpoint.id

    nothing = await refused(caller.call(pb.RedeliverWebhookRequest(endpoint_id=endpoint)))
    unknown = await refused(
        caller.call(pb.RedeliverWebhookRequest(endpoint_id=endpoint, delivery_id=UNKNOWN_DELIVERY))
    )
    await caller.update(endpoint, state=pb.WebhookEndpoint.STATE_DISABLED)
    disabled = await refused(
        caller.call(pb.RedeliverWebhookRequest(endpoint_id=endpoint, delivery_id=UNKNOWN_DELIVERY))
    )

    assert (nothing.reason, nothing.fields) == ("FIELD_INVALID", ["which"])
    assert unknown.reason == "WEBHOOK_DELIVERY_UNKNOWN"
    assert disabled.reason == "WEBHOOK_ENDPOINT_DISABLED"
