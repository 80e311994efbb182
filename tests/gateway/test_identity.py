"""How long a key is believed, and who is asked about it."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway import identity
from gateway.errors import Refused
from kit import api_keys, serving
from tender.v1 import query_pb2
from tests.gateway import conftest, requests, scripted
from tests.gateway.conftest import Stack
from tests.gateway.scripted import PEPPER


class Source:
    """Records of keys, and whether they can be reached."""

    def __init__(self) -> None:
        self.records: dict[str, query_pb2.GetApiKeyResponse] = {}
        self.asked: list[str] = []
        self.is_away = False
        self.delay_seconds = 0.0

    async def get_api_key(
        self, key_id: str, timeout_seconds: float, *, waits: bool = False
    ) -> query_pb2.GetApiKeyResponse | None:
        self.asked.append(key_id)
        await asyncio.sleep(self.delay_seconds)
        if self.is_away:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing)
        return self.records.get(key_id)

    def add(self) -> api_keys.ApiKey:
        key = api_keys.generate()
        self.records[key.key_id] = query_pb2.GetApiKeyResponse(
            secret_hash=api_keys.secret_hash(PEPPER, key.secret),
            tenant_id="acme",
            scopes=["service"],
        )
        return key


class Clock:
    """A directory's time, which passes when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def time(self) -> float:
        return self.now


class Directory(identity.ProcessorKeyDirectory):
    def __init__(self, source: Source, clock: Clock) -> None:
        super().__init__(source, PEPPER, tasks=serving.Tasks())
        self._loop: Any = clock


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def directory(source: Source, clock: Clock) -> Directory:
    return Directory(source, clock)


async def reason_of(directory: Directory, text: str) -> str:
    with pytest.raises(Refused) as caught:
        await directory.identify(text)
    return caught.value.reason


async def test_a_key_is_looked_up_once_and_remembered(source: Source, directory: Directory) -> None:
    key = source.add()

    first = await directory.identify(key.text)
    second = await directory.identify(key.text)

    assert first is second
    assert first.principal.tenant_id == "acme"
    assert source.asked == [key.key_id]


async def test_a_hundred_calls_at_once_ask_once(source: Source, directory: Directory) -> None:
    key = source.add()
    source.delay_seconds = 0.01

    await asyncio.gather(*(directory.identify(key.text) for _ in range(100)))

    assert source.asked == [key.key_id]


async def test_the_first_caller_may_leave_while_others_wait(
    source: Source, directory: Directory
) -> None:
    key = source.add()
    source.delay_seconds = 0.05
    first = asyncio.ensure_future(directory.identify(key.text))
    await asyncio.sleep(0.01)
    second = asyncio.ensure_future(directory.identify(key.text))
    await asyncio.sleep(0.01)

    first.cancel()

    assert (await second).key_id == key.key_id
    assert len(source.asked) == 1


async def test_a_revoked_key_lives_no_longer_than_five_seconds(
    source: Source, clock: Clock, directory: Directory
) -> None:
    key = source.add()
    await directory.identify(key.text)
    source.records.clear()

    clock.now += identity.FRESH_SECONDS

    assert await reason_of(directory, key.text) == "CREDENTIALS_INVALID"


async def test_a_busy_revoked_key_dies_sooner(
    source: Source, clock: Clock, directory: Directory
) -> None:
    key = source.add()
    await directory.identify(key.text)
    source.records.clear()
    clock.now += identity.REFRESH_SECONDS

    await directory.identify(key.text)
    await asyncio.sleep(0.01)

    assert await reason_of(directory, key.text) == "CREDENTIALS_INVALID"


async def test_a_key_whose_secret_was_changed_is_compared_again(
    source: Source, clock: Clock, directory: Directory
) -> None:
    key = source.add()
    await directory.identify(key.text)
    source.records[key.key_id].secret_hash = bytes(32)

    clock.now += identity.FRESH_SECONDS

    assert await reason_of(directory, key.text) == "CREDENTIALS_INVALID"


async def test_a_known_key_outlives_an_absence_by_a_minute_and_no_more(
    source: Source, clock: Clock, directory: Directory
) -> None:
    key = source.add()
    await directory.identify(key.text)
    source.is_away = True

    clock.now += identity.STALE_SECONDS - 1
    assert (await directory.identify(key.text)).key_id == key.key_id
    clock.now += 1

    assert await reason_of(directory, key.text) == "SHARD_UNAVAILABLE"
    source.is_away = False
    assert (await directory.identify(key.text)).key_id == key.key_id


async def test_an_unknown_key_is_remembered_as_such(
    source: Source, clock: Clock, directory: Directory
) -> None:
    key = api_keys.generate()

    for _ in range(3):
        assert await reason_of(directory, key.text) == "CREDENTIALS_INVALID"
    clock.now += identity.FRESH_SECONDS
    assert await reason_of(directory, key.text) == "CREDENTIALS_INVALID"

    assert source.asked == [key.key_id] * 2


async def test_a_wrong_secret_of_a_known_key_is_refused_without_asking_again(
    source: Source, directory: Directory
) -> None:
    key = source.add()
    await directory.identify(key.text)

    for _ in range(3):
        guess = api_keys.ApiKey(key.key_id, api_keys.generate().secret)
        assert await reason_of(directory, guess.text) == "CREDENTIALS_INVALID"

    assert source.asked == [key.key_id]
    assert (await directory.identify(key.text)).key_id == key.key_id


async def test_a_mistyped_key_asks_nobody(source: Source, directory: Directory) -> None:
    text = source.add().text
    wrong = text[:-9] + ("0" if text[-9] != "0" else "1") + text[-8:]

    assert await reason_of(directory, wrong) == "CREDENTIALS_INVALID"
    assert source.asked == []


async def test_a_flood_of_invented_keys_does_not_become_a_flood_of_queries(
    source: Source, directory: Directory
) -> None:
    source.delay_seconds = 0.05
    texts = [api_keys.generate().text for _ in range(identity.LOOKUPS_MAX * 3)]

    reasons = await asyncio.gather(*(reason_of(directory, text) for text in texts))

    assert len(source.asked) == identity.LOOKUPS_MAX
    assert set(reasons) == {"CREDENTIALS_INVALID", "SHARD_UNAVAILABLE"}


def test_what_is_remembered_is_bounded() -> None:
    bounded: identity._Bounded[int, int] = identity._Bounded(3)

    for number in range(10):
        bounded.put(number, number)

    assert [bounded.get(number) for number in range(10)] == [None] * 7 + [7, 8, 9]


async def test_a_processor_that_does_not_know_yet_makes_the_call_repeatable(
    tmp_path: Path,
) -> None:
    async with conftest.running(tmp_path) as stack:
        await stack.stop_processor()

        answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize()))

        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert (answer.reason, answer.retry_ms > 0) == ("SHARD_UNAVAILABLE", True)


async def test_a_processor_that_comes_a_moment_later_is_waited_for(tmp_path: Path) -> None:
    async with conftest.running(tmp_path) as stack:
        await stack.stop_processor()
        early = asyncio.ensure_future(stack.call("AuthorizePayment", requests.authorize()))
        await asyncio.sleep(0.5)
        assert not early.done()

        async with scripted.listening(stack.processor, stack.processor_address):
            await early


async def test_one_lookup_serves_many_calls_over_the_wire(stack: Stack) -> None:
    stack.keys["new"] = stack.processor.add_key("service")

    await asyncio.gather(
        *(stack.call("ListPayments", requests.VALID["ListPayments"], key="new") for _ in range(50))
    )

    assert len(stack.processor.key_lookups) == 1
