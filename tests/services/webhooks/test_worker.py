"""Workers on a real database: order, several at once, the schedule, and what is given up."""

import asyncio
import datetime

import pytest
from standardwebhooks import Webhook

from services.webhooks.queue_store import LeaseLost
from services.webhooks.schedule import DeadRules, Result, Verdict
from services.webhooks.sending import Sender
from services.webhooks.turns import Limits
from tests.consumers.conftest import eventually
from tests.services.webhooks.conftest import (
    LIMITS,
    Office,
    Recorder,
    attempted,
    ended,
    event,
    running,
    worker_of,
)
from tests.services.webhooks.receiver import receiving, status


async def test_what_happened_is_delivered_in_order_and_signed(
    office: Office, sender: Sender
) -> None:
    async with receiving(lambda _: status(200)) as receiver:
        endpoint = await office.add(receiver.url)
        events = [event(number) for number in range(30)]
        await office.happen(*events)

        async with running(worker_of(office, sender)):
            await ended(office, endpoint, 30)

    assert receiver.event_ids == [one.id for one in events]
    assert await office.states(endpoint) == ["delivered"] * 30
    verifier = Webhook(office.secrets[endpoint])
    for received in receiver.received:
        assert verifier.verify(received.body, received.headers)["id"] == received.event_id


async def test_a_head_that_fails_holds_up_what_is_behind_it(office: Office) -> None:
    endpoint = await office.add("http://127.0.0.1:1/")
    recorder = Recorder(500)
    await office.happen(event(1), event(2))

    async with running(worker_of(office, recorder)):
        await attempted(office, endpoint, 1)
        await asyncio.sleep(0.3)
        assert [event_id for _, event_id in recorder.sent] == ["s1.abc.1.0"]
        await office.due_now(endpoint)
        await ended(office, endpoint, 2)

    assert [event_id for _, event_id in recorder.sent] == ["s1.abc.1.0"] * 2 + ["s1.abc.2.0"]
    assert await office.log(endpoint) == [
        ("s1.abc.1.0", "delivered", "", 2),
        ("s1.abc.2.0", "delivered", "", 1),
    ]


async def test_one_endpoint_that_hangs_holds_up_no_other(office: Office, sender: Sender) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    async with receiving(lambda _: hang) as bad, receiving(lambda _: status(204)) as good:
        hanging = await office.add(bad.url)
        fine = await office.add(good.url)
        await office.happen(*(event(number) for number in range(20)))

        async with running(worker_of(office, sender)):
            await ended(office, fine, 20)
            assert await office.states(hanging) == ["pending"] * 20
            await attempted(office, hanging, 1)

    [attempt] = await office.fetch("SELECT status_code, cause FROM attempts WHERE cause <> ''")
    assert tuple(attempt) == (0, "TIMEOUT")


async def test_two_workers_at_once_deliver_everything_once_and_in_order(office: Office) -> None:
    endpoints = [await office.add("http://127.0.0.1:1/") for _ in range(5)]
    recorder = Recorder()
    first, second = (worker_of(office, recorder, owner=name) for name in ("one", "two"))

    async with running(first, second):
        for number in range(0, 60, 3):
            await office.happen(*(event(n, payment=f"pay_{n}") for n in range(number, number + 3)))
        for endpoint in endpoints:
            await ended(office, endpoint, 60)

    assert len(recorder.sent) == 5 * 60
    for endpoint in endpoints:
        assert await office.states(endpoint) == ["delivered"] * 60
    assert [one for _, one in recorder.sent if one == "s1.abc.7.0"] == ["s1.abc.7.0"] * 5


async def test_a_worker_that_was_paused_beyond_its_lease_records_nothing(office: Office) -> None:
    await office.add("http://127.0.0.1:1/")
    await office.happen(event(1))
    slow, quick = office.store("slow"), office.store("quick")
    [claim] = await slow.claim(5)
    work = await slow.load(claim, 5)
    assert work is not None
    assert await quick.claim(5) == []
    await office.fetch("UPDATE queues SET leased_until = now() - interval '1 second'")
    [taken] = await quick.claim(5)

    now = datetime.datetime.now(datetime.UTC)
    done = (Result(200, "", 0.1), Verdict("delivered"), now)
    with pytest.raises(LeaseLost):
        await slow.record(claim, work.queued[0], *done)
    await quick.record(taken, work.queued[0], *done)
    await slow.release(claim, None)

    [queue] = await office.fetch("SELECT owner, leased_until > now() AS is_held FROM queues")
    assert tuple(queue) == ("quick", True)


async def test_nobody_sleeps_over_what_is_queued_while_a_queue_looks_empty(office: Office) -> None:
    endpoint = await office.add("http://127.0.0.1:1/")
    await office.happen(event(1))
    store = office.store()
    [claim] = await store.claim(5)
    # Queued after the worker had loaded what there was.
    await office.happen(event(2))
    await store.release(claim, None)

    [again] = await store.claim(5)
    work = await store.load(again, 5)
    assert again.endpoint_id == endpoint
    assert work is not None
    assert len(work.queued) == 2


async def test_a_stop_waits_for_the_attempt_under_way_and_records_it(
    office: Office, sender: Sender
) -> None:
    async def slowly(_reader: object, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(status(200))

    async with receiving(lambda _: slowly) as receiver:
        endpoint = await office.add(receiver.url)
        await office.happen(event(1), event(2))
        async with running(worker_of(office, sender)):
            await eventually(lambda: bool(receiver.received), "request")

    assert await office.states(endpoint) == ["delivered", "pending"]
    [queue] = await office.fetch("SELECT leased_until < now(), due_at <= now() FROM queues")
    assert tuple(queue) == (True, True)


async def test_after_sixteen_tries_a_delivery_is_given_up_and_the_next_one_follows(
    office: Office,
) -> None:
    endpoint = await office.add("http://127.0.0.1:1/")
    await office.happen(event(1), event(2))

    async with running(worker_of(office, Recorder(*[500] * 16))):
        for tries in range(1, 17):
            await attempted(office, endpoint, tries)
            await office.due_now(endpoint)
        await ended(office, endpoint, 2)

    assert await office.log(endpoint) == [
        ("s1.abc.1.0", "failed", "TRIES_EXHAUSTED", 16),
        ("s1.abc.2.0", "delivered", "", 1),
    ]


async def test_what_is_too_old_is_given_up_and_later_ones_go_on(office: Office) -> None:
    endpoint = await office.add("http://127.0.0.1:1/")
    await office.happen(event(1), event(2), event(3))
    await office.fetch(
        "UPDATE deliveries SET expires_at = now() - interval '1 second' WHERE event_id <> $1",
        "s1.abc.3.0",
    )
    recorder = Recorder()

    async with running(worker_of(office, recorder)):
        await ended(office, endpoint, 3)

    assert await office.log(endpoint) == [
        ("s1.abc.1.0", "failed", "TOO_OLD", 0),
        ("s1.abc.2.0", "failed", "TOO_OLD", 0),
        ("s1.abc.3.0", "delivered", "", 1),
    ]
    assert [event_id for _, event_id in recorder.sent] == ["s1.abc.3.0"]


async def test_a_delivery_that_waits_for_its_next_try_is_given_up_on_time(office: Office) -> None:
    endpoint = await office.add("http://127.0.0.1:1/")
    await office.happen(event(1))
    await office.fetch("UPDATE deliveries SET expires_at = now() + interval '1 second'")

    async with running(worker_of(office, Recorder(500))):
        await ended(office, endpoint, 1)

    assert await office.log(endpoint) == [("s1.abc.1.0", "failed", "TOO_OLD", 1)]


async def test_an_endpoint_without_success_for_days_and_many_failures_is_disabled(
    office: Office,
) -> None:
    endpoint = await office.add("http://127.0.0.1:1/")
    await office.happen(event(1))
    limits = Limits(DeadRules(days=5, failures=3), attempt_seconds_max=2.0)
    recorder = Recorder(*[500] * 9)

    async with running(worker_of(office, recorder, limits=limits)):
        for tries in (1, 2, 3):
            await attempted(office, endpoint, tries)
            await office.due_now(endpoint)
        await attempted(office, endpoint, 4)
        assert await _state(office) == ("enabled", "")
        await office.fetch("UPDATE queues SET failing_since = now() - interval '5 days'")
        await office.due_now(endpoint)
        await attempted(office, endpoint, 5)
        await asyncio.sleep(0.2)
        assert await _state(office) == ("disabled", "failing")
        await office.due_now(endpoint)
        await asyncio.sleep(0.2)

    assert len(recorder.sent) == 5
    assert await office.states(endpoint) == ["pending"]
    await office.happen(event(2))
    assert await office.states(endpoint) == ["pending"]


async def test_one_success_makes_earlier_failures_count_no_more(office: Office) -> None:
    endpoint = await office.add("http://127.0.0.1:1/")
    await office.happen(event(1))

    async with running(worker_of(office, Recorder(500, 500))):
        for tries in (1, 2):
            await attempted(office, endpoint, tries)
            await office.due_now(endpoint)
        await ended(office, endpoint, 1)

    [queue] = await office.fetch(
        "SELECT failures, failing_since IS NULL, last_success_at IS NOT NULL FROM queues"
    )
    assert tuple(queue) == (0, True, True)


async def test_an_endpoint_that_is_gone_is_disabled_at_once(office: Office) -> None:
    endpoint = await office.add("http://127.0.0.1:1/")
    await office.happen(event(1), event(2))

    async with running(worker_of(office, Recorder(410))):
        await ended(office, endpoint, 1)
        await asyncio.sleep(0.2)

    assert await _state(office) == ("disabled", "gone")
    assert await office.log(endpoint) == [
        ("s1.abc.1.0", "failed", "ENDPOINT_GONE", 1),
        ("s1.abc.2.0", "pending", "", 0),
    ]


async def test_a_secret_that_no_key_opens_keeps_its_endpoint_waiting_and_no_other(
    office: Office,
) -> None:
    broken = await office.add("http://127.0.0.1:1/")
    fine = await office.add("http://127.0.0.1:1/")
    await office.fetch("UPDATE secrets SET key_id = 'lost' WHERE endpoint_id = $1", broken)
    await office.happen(event(1))

    async with running(worker_of(office, Recorder())):
        await ended(office, fine, 1)

    assert await office.states(broken) == ["pending"]


async def test_a_lease_outlives_the_longest_attempt() -> None:
    assert LIMITS.lease.total_seconds() > LIMITS.attempt_seconds_max + 5


async def _state(office: Office) -> tuple[str, str]:
    [row] = await office.fetch("SELECT state, disabled_cause FROM endpoints")
    return row["state"], row["disabled_cause"]
