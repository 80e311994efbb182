"""What events leave in the database, and what is tidied up there."""

from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.webhooks.sealing import Keys
from tender.v1 import webhook_pb2 as pb
from tests.services.webhooks.calling import Caller
from tests.services.webhooks.conftest import (
    MERCHANT,
    OTHER_MERCHANT,
    Office,
    Recorder,
    ended,
    event,
    running,
    worker_of,
)

URL = "http://127.0.0.1:1/"


async def test_each_endpoint_gets_what_it_asked_for(office: Office) -> None:
    mine = await office.add(URL)
    voided = await office.add(URL, types=["payment_voided"])
    theirs = await office.add(URL, merchant=OTHER_MERCHANT)
    whole = await office.add(URL, merchant="")
    elsewhere = await office.add(URL, merchant="", tenant="other")

    await office.happen(
        event(1),
        event(2, type="payment_voided"),
        event(3, merchant=OTHER_MERCHANT),
        event(4, type="payment_reversed_before_arrival"),
        event(5, tenant="third"),
    )

    async def numbers(endpoint: str) -> list[int]:
        return [int(one[0].split(".")[2]) for one in await office.log(endpoint)]

    assert await numbers(mine) == [1, 2]
    assert await numbers(voided) == [2]
    assert await numbers(theirs) == [3]
    assert await numbers(whole) == [1, 2, 3, 4]
    assert await numbers(elsewhere) == []
    messages = await office.fetch("SELECT event_id FROM messages ORDER BY event_id")
    assert [row[0] for row in messages] == [f"s1.abc.{number}.0" for number in (1, 2, 3, 4)]


async def test_an_event_that_comes_again_is_queued_once(office: Office) -> None:
    endpoint = await office.add(URL)
    await office.happen(event(1), event(2))

    await office.happen(event(2), event(3))
    # The inbox forgot, as it does after its retention.
    await office.fetch("DELETE FROM inbox")
    await office.happen(event(1))

    assert [one[0] for one in await office.log(endpoint)] == [
        f"s1.abc.{number}.0" for number in (1, 2, 3)
    ]


async def test_what_does_not_fit_into_a_full_queue_is_given_up_and_may_be_asked_for(
    office: Office,
) -> None:
    endpoint = await office.add(URL)
    await office.happen(*(event(number) for number in range(3)), pending_max=3)
    await office.upkeep().once()

    await office.happen(event(3), pending_max=3)

    assert (await office.log(endpoint))[-1] == ("s1.abc.3.0", "failed", "QUEUE_FULL", 0)
    shown = await Caller(office, MERCHANT).get(endpoint)
    assert shown.pending == 3
    [full] = await Caller(office, MERCHANT).deliveries(state=pb.WebhookDelivery.STATE_FAILED)
    request = pb.RedeliverWebhookRequest(endpoint_id=endpoint, delivery_id=full.id)
    assert (await Caller(office, MERCHANT).call(request)).queued == 1


async def test_old_deliveries_go_with_their_attempts_and_bodies(office: Office) -> None:
    endpoint = await office.add(URL)
    await office.happen(event(1), event(2))
    async with running(worker_of(office, Recorder())):
        await ended(office, endpoint, 2)
    await office.fetch("UPDATE messages SET created_at = now() - interval '15 days'")
    await office.fetch(
        "UPDATE deliveries SET ended_at = now() - interval '15 days' WHERE event_id = 's1.abc.1.0'"
    )

    await office.upkeep(kept_days=14).once()

    assert [one[0] for one in await office.log(endpoint)] == ["s1.abc.2.0"]
    assert len(await office.fetch("SELECT FROM attempts")) == 1
    assert len(await office.fetch("SELECT FROM messages")) == 1


async def test_what_waits_for_a_disabled_endpoint_is_given_up_in_its_time(office: Office) -> None:
    endpoint = await office.add(URL)
    await office.happen(event(1))
    await office.fetch(
        "UPDATE endpoints SET state = 'disabled', disabled_cause = 'requested', disabled_at = now()"
    )
    await office.upkeep().once()
    assert await office.states(endpoint) == ["pending"]
    await office.fetch("UPDATE deliveries SET expires_at = now()")

    await office.upkeep().once()

    assert await office.log(endpoint) == [("s1.abc.1.0", "failed", "TOO_OLD", 0)]


async def test_nothing_is_left_of_a_deleted_endpoint(office: Office) -> None:
    endpoint = await office.add(URL)
    await office.happen(event(1))
    request = pb.DeleteWebhookEndpointRequest(endpoint_id=endpoint)
    await Caller(office, MERCHANT).call(request)
    await office.fetch("UPDATE endpoints SET updated_at = now() - interval '2 hours'")
    await office.fetch("UPDATE messages SET created_at = now() - interval '20 days'")

    await office.upkeep().once()

    for table in ("endpoints", "secrets", "queues", "deliveries", "messages"):
        assert await office.fetch(f"SELECT FROM {table}") == [], table


async def test_secrets_come_under_the_new_key_and_still_open(office: Office) -> None:
    endpoint = await office.add(URL)
    await office.add(URL)
    both = Keys.parse(["two:" + "22" * 32, "one:" + "11" * 32], "test")
    new_alone = Keys.parse(["two:" + "22" * 32], "test")

    await office.upkeep(both).once()

    keys = await office.fetch("SELECT DISTINCT key_id FROM secrets")
    assert [row[0] for row in keys] == ["two"]
    stored = await office.endpoints.secret(endpoint)
    assert stored is not None
    assert new_alone.open(stored.sealed, f"{endpoint}/1") == office.secrets[endpoint]


async def test_the_service_s_role_may_do_its_work_and_no_more(office: Office) -> None:
    login = "tender_webhooks_test"
    await office.fetch(f"DROP ROLE IF EXISTS {login}")
    await office.fetch(f"CREATE ROLE {login} LOGIN PASSWORD 'x' IN ROLE tender_webhooks")
    parts = urlsplit(office.url)
    place = parts.netloc.rpartition("@")[2]
    connection = await asyncpg.connect(urlunsplit(parts._replace(netloc=f"{login}:x@{place}")))
    try:
        await connection.execute("INSERT INTO inbox (consumer, event_id) VALUES ('webhooks', 'a')")
        await connection.execute("SELECT nextval('delivery_places')")
        for forbidden in (
            "DROP TABLE attempts",
            "CREATE TABLE mine (a integer)",
            "SELECT FROM schema_migrations",
            "TRUNCATE inbox",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(forbidden)
    finally:
        await connection.close()
        await office.fetch(f"DROP ROLE {login}")
