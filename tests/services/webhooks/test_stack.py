"""From a payment to a receiver that verifies it: gateway, lane, relay, Kafka, the service, HTTP."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import tender
from deploy.local import cli, devkey
from deploy.local.options import StackOptions
from deploy.local.stack import Stack
from tests.consumers.conftest import eventually

WAIT_SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """All that a webhook passes through."""
    with tempfile.TemporaryDirectory(prefix="tender-test-") as folder:
        options = StackOptions(
            data_dir=Path(folder), replicas=0, relay=True, services=("webhooks",)
        )
        with Stack(options) as running:
            yield running


@pytest.fixture(scope="module")
async def client(stack: Stack) -> AsyncIterator[tender.Client]:
    key = stack.endpoints.api_key_file.read_text().strip()
    async with tender.Client(stack.endpoints.gateway, key, timeout=30) as opened:
        yield opened


@dataclass(frozen=True)
class Shop:
    """A merchant, and somebody with money who pays there."""

    client: tender.Client
    merchant_id: str
    payer_id: str

    async def sell(self, cents: int) -> tender.Payment:
        answer = await self.client.authorize_payment(
            payer_account_id=self.payer_id,
            merchant_id=self.merchant_id,
            amount=tender.money("EUR", cents),
        )
        return answer.payment


async def opened_shop(client: tender.Client, name: str) -> Shop:
    kind = tender.Account.KIND_MERCHANT_WALLET
    wallet = await client.create_account(user_id=name, currency_code="EUR", kind=kind)
    terms = tender.SettlementTerms(currency_code="EUR", account_id=wallet.account.id)
    merchant = await client.create_merchant(
        reference=name, display_name=name, settlement_terms=[terms]
    )
    payer = await client.create_account(
        user_id=f"{name}-payer",
        currency_code="EUR",
        kind=tender.Account.KIND_CONSUMER_WALLET,
    )
    await client.create_transfer(
        source_account_id="world",
        destination_account_id=payer.account.id,
        amount=tender.money("EUR", 1_000_000),
    )
    return Shop(client, merchant.merchant.id, payer.account.id)


@dataclass
class Listener:
    """`tender webhooks listen` as a process, and what it told."""

    process: asyncio.subprocess.Process
    url: str
    told: list[dict[str, Any]]

    async def heard(self, count: int) -> list[dict[str, Any]]:
        """Return what it heard, once that is so many."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while len(self.told) < count:
                self.told.append(json.loads(await self.process.stdout.readline()))
        return self.told

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.communicate()


async def listening(*arguments: str) -> Listener:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.cli", "webhooks", "listen", "--json", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), WAIT_SECONDS_MAX)
    return Listener(process, json.loads(line)["listening"], [])


async def run(stack: Stack, *arguments: str) -> Result:
    env = {"TENDER_DATA_DIR": str(stack.options.data_dir), "COLUMNS": "200"}
    runner = CliRunner(env=env)
    return await asyncio.to_thread(lambda: runner.invoke(cli.app, ["webhooks", *arguments]))


async def run_json(stack: Stack, *arguments: str) -> Any:
    done = await run(stack, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


async def test_a_merchant_hears_of_its_payments_and_of_no_others(
    stack: Stack, client: tender.Client
) -> None:
    mine, theirs = await opened_shop(client, "corner"), await opened_shop(client, "plaza")
    quiet = await listening("--port", "0")
    port = quiet.url.rsplit(":", 1)[1].strip("/")
    made = await run_json(stack, "create", quiet.url, "--merchant", mine.merchant_id)
    await quiet.stop()
    listener = await listening("--port", port, "--secret", made["secret"])
    try:
        payments = []
        for cents in (100, 200, 300):
            await theirs.sell(cents)
            payments.append(await mine.sell(cents))
        told = await listener.heard(3)
    finally:
        await listener.stop()

    assert [one["signature"] for one in told] == ["verified"] * 3
    documents = [one["event"] for one in told]
    assert {one["type"] for one in documents} == {"payment_captured"}
    assert {one["entity_id"] for one in documents} == {payment.id for payment in payments}
    amounts = {
        one["entity_id"]: one["data"]["payment"]["amount"]["minor_units"] for one in documents
    }
    assert amounts == {payment.id: payment.amount.minor_units for payment in payments}
    found = (await run_json(stack, "deliveries", "--endpoint", made["endpoint"]["id"]))[
        "deliveries"
    ]
    assert [one["state"] for one in found] == ["STATE_DELIVERED"] * 3


async def test_an_endless_500_is_found_and_resolved_with_the_command_alone(
    stack: Stack, client: tender.Client
) -> None:
    shop = await opened_shop(client, "market")
    bad = await listening("--port", "0", "--status", "500")
    made = await run_json(stack, "create", bad.url, "--merchant", shop.merchant_id)
    endpoint, port = made["endpoint"]["id"], bad.url.rsplit(":", 1)[1].strip("/")
    await shop.sell(100)
    try:
        await bad.heard(1)
    finally:
        await bad.stop()

    async def is_seen() -> bool:
        shown = await run_json(stack, "show", endpoint)
        return bool(shown["endpoint"]["failures"])

    await eventually(is_seen, "failure")
    [waiting] = (await run_json(stack, "deliveries", "--endpoint", endpoint, "--pending"))[
        "deliveries"
    ]
    assert waiting["attempts"][0]["statusCode"] == 500
    listed = await run(stack, "deliveries", "--endpoint", endpoint)
    assert "STATUS 500" in listed.output
    disabled = await run(stack, "disable", endpoint)
    refused = await run(stack, "redeliver", endpoint, waiting["id"])
    good = await listening("--port", port, "--secret", made["secret"])
    try:
        enabled = await run(stack, "enable", endpoint)
        [first] = await good.heard(1)
        again = await run_json(stack, "redeliver", endpoint, waiting["id"])
        _, second = await good.heard(2)
    finally:
        await good.stop()

    assert "DISABLED" in disabled.output
    assert refused.exit_code != 0
    assert "WEBHOOK_ENDPOINT_DISABLED" in refused.output
    assert "ENABLED" in enabled.output
    assert again == {"queued": 1}
    assert first == second
    assert first["signature"] == "verified"
    assert (await run(stack, "delete", endpoint)).exit_code == 0
    assert "WEBHOOK_ENDPOINT_UNKNOWN" in (await run(stack, "show", endpoint)).output


async def test_through_the_gateway_a_merchant_s_key_sees_its_own_alone(
    stack: Stack, client: tender.Client
) -> None:
    mine, theirs = await opened_shop(client, "mine"), await opened_shop(client, "theirs")
    key = await asyncio.to_thread(
        lambda: devkey.create(
            stack.endpoints.owner_url,
            stack.endpoints.api_key_pepper_file.parent,
            tenant="dev",
            scopes=("merchant",),
            merchant_id=mine.merchant_id,
        )
    )
    url = "http://127.0.0.1:1/"
    of_others = await client.create_webhook_endpoint(url=url, merchant_id=theirs.merchant_id)
    async with tender.Client(stack.endpoints.gateway, key, timeout=30) as merchant:
        own = await merchant.create_webhook_endpoint(url=url)
        seen = [one.id async for one in merchant.iter_webhook_endpoints()]
        with pytest.raises(tender.NotFound) as unknown:
            await merchant.get_webhook_endpoint(endpoint_id=of_others.endpoint.id)
        with pytest.raises(tender.InvalidArgument) as refused:
            await merchant.create_webhook_endpoint(url="https://169.254.169.254/latest")

    assert own.endpoint.merchant_id == mine.merchant_id
    assert seen == [own.endpoint.id]
    assert unknown.value.reason == "WEBHOOK_ENDPOINT_UNKNOWN"
    assert refused.value.reason == "WEBHOOK_URL_REFUSED"
    assert [one.field for one in refused.value.field_violations] == ["url"]


async def test_an_endpoint_is_of_a_merchant_that_the_caller_has(
    stack: Stack, client: tender.Client
) -> None:
    shop = await opened_shop(client, "known")
    stranger_s = await asyncio.to_thread(
        lambda: devkey.create(
            stack.endpoints.owner_url,
            stack.endpoints.api_key_pepper_file.parent,
            tenant="elsewhere",
            scopes=("service",),
        )
    )
    url = "http://127.0.0.1:1/"
    async with tender.Client(stack.endpoints.gateway, stranger_s, timeout=30) as stranger:
        with pytest.raises(tender.NotFound) as of_others:
            await stranger.create_webhook_endpoint(url=url, merchant_id=shop.merchant_id)
    with pytest.raises(tender.NotFound) as unknown:
        await client.create_webhook_endpoint(url=url, merchant_id="mer_eu_" + "0" * 22)
    with pytest.raises(tender.InvalidArgument) as no_id:
        await client.create_webhook_endpoint(url=url, merchant_id="shop")

    assert {of_others.value.reason, unknown.value.reason} == {"MERCHANT_UNKNOWN"}
    assert [one.field for one in no_id.value.field_violations] == ["merchant_id"]
    assert await run_json(stack, "endpoints", "--merchant", shop.merchant_id) == {"endpoints": []}


async def test_the_service_s_own_database_is_brought_to_its_schema(stack: Stack) -> None:
    env = {"TENDER_DATA_DIR": str(stack.options.data_dir), "COLUMNS": "200"}

    def migrate(*arguments: str) -> Result:
        return CliRunner(env=env).invoke(cli.app, ["migrate", *arguments])

    again = await asyncio.to_thread(migrate, "--service", "webhooks", "--json")
    unknown = await asyncio.to_thread(migrate, "--service", "nothing")

    found = json.loads(again.stdout)
    assert found["applied"] == []
    assert [one["name"] for one in found["migrations"]] == ["0001_inbox", "0002_webhooks"]
    assert all(one["appliedAt"] for one in found["migrations"])
    assert unknown.exit_code == 2
    assert "webhooks" in unknown.output


async def test_what_happens_while_the_service_is_away_is_delivered_when_it_is_back(
    stack: Stack, client: tender.Client
) -> None:
    shop = await opened_shop(client, "late")
    listener = await listening("--port", "0")
    try:
        await run_json(stack, "create", listener.url, "--merchant", shop.merchant_id)
        await asyncio.to_thread(stack.stop_one, "webhooks")
        sold = [(await shop.sell(cents)).id for cents in range(1, 6)]
        with pytest.raises(tender.Unavailable) as away:
            await client.list_webhook_endpoints(timeout=2)
        await asyncio.to_thread(stack.start_one, "webhooks")
        told = await listener.heard(5)
    finally:
        await listener.stop()

    assert away.value.reason == "SERVICE_UNAVAILABLE"
    assert {one["event"]["entity_id"] for one in told} == set(sold)
