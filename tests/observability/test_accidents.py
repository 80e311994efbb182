"""Real accidents, as a real Prometheus sees them: alerts fire for them, and end when they do.

Scrapes, evaluations and `for` are quicker than in production; no series is made up.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tender
from deploy.local.stack import Stack, StackOptions
from tests.observability.conftest import scrape
from tests.observability.live import Prometheus, prometheus
from tests.plugins.figures import measured

SOON = 15.0
"""For an accident to be seen, or its end, on a busy machine."""

USERS_MAX = 50
HELD_UP_SECONDS = 30.0
"""After which the rule calls money held up."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Prometheus]]:
    """Two shards, each with a Postgres of its own, and who watches them."""
    data = Path(tmp_path_factory.mktemp("watched"))
    options = StackOptions(data_dir=data, shards=2, servers=2, replicas=0, relay=True)
    with Stack(options) as stack:
        watcher = Path(tmp_path_factory.mktemp("prometheus"))
        with prometheus(watcher, stack.endpoints) as watching:
            yield stack, watching


@pytest.fixture(scope="module")
def calm(watched: tuple[Stack, Prometheus]) -> tuple[Stack, Prometheus]:
    """Both servers were scraped, both lanes are open, and no alert fires."""
    stack, watching = watched
    began = time.monotonic()
    while watching.targets_up() < 3 or gauge(stack, "tender_gateway_lane_connected") < 2:
        assert time.monotonic() - began < SOON, "the stack was not seen whole"
        time.sleep(0.1)
    for alert in ("TenderLaneClosed", "TenderServerDown", "TenderGatewayLaneDisconnected"):
        watching.await_resolved(SOON, alertname=alert)
    watching.await_resolved(SOON, alertname="TenderRelayAway")
    assert watching.firing() == []
    return watched


def gauge(stack: Stack, name: str) -> float:
    return scrape(stack.endpoints.gateway_metrics).total(name)


def client_of(stack: Stack) -> tender.SyncClient:
    key = stack.endpoints.api_key_file.read_text().strip()
    return tender.SyncClient(stack.endpoints.gateway, key)


def open_account(client: tender.SyncClient, stack: Stack, shard: str, **options: Any) -> str:
    """Open accounts until one lives on the shard."""
    shard_map = stack.options.layout().first_map()
    for number in range(USERS_MAX):
        opened = client.create_account(
            user_id=f"{shard}-{number}", currency_code="EUR", **options
        ).account.id
        if shard_map.shard_of(stack.options.region, opened[-2:]) == shard:
            return opened
    raise AssertionError(f"no user of {USERS_MAX} lives on {shard}")


def test_a_shard_s_lost_postgres_is_seen_until_it_is_back_and_what_was_sent_there_arrived(
    calm: tuple[Stack, Prometheus],
) -> None:
    stack, watching = calm
    with client_of(stack) as client:
        payer = open_account(client, stack, "s1")
        wallet = open_account(client, stack, "s2", kind=tender.Account.KIND_MERCHANT_WALLET)
        terms = tender.SettlementTerms(currency_code="EUR", account_id=wallet)
        shop = client.create_merchant(
            reference="shop", display_name="Shop", settlement_terms=[terms]
        )
        client.create_transfer(
            source_account_id="world",
            destination_account_id=payer,
            amount=tender.money("EUR", 1_000),
        )

        stack.kill("postgres2", stay_down=True)
        client.authorize_payment(
            payer_account_id=payer,
            merchant_id=shop.merchant.id,
            amount=tender.money("EUR", 100),
        )
        held_up_at = time.monotonic() + HELD_UP_SECONDS
        closed = watching.await_firing(SOON, alertname="TenderLaneClosed", shard="s2")
        watching.await_firing(SOON, alertname="TenderGatewayLaneDisconnected", shard="s2")
        # While the money waits, a gateway dies too, which has nothing to do with it.
        stack.kill("gateway", stay_down=True)
        dead = watching.await_firing(SOON, alertname="TenderServerDown", job="tender-gateway")
        stack.start_one("gateway")
        watching.await_resolved(SOON, alertname="TenderServerDown")
        before = {each["alertname"] for each in watching.firing()}
        wait = held_up_at - time.monotonic()
        held_up = watching.await_firing(wait + SOON, alertname="TenderMoneyHeldUp", shard="s1")
        stack.start_one("postgres2")
        for alert in ("TenderMoneyHeldUp", "TenderLaneClosed", "TenderGatewayLaneDisconnected"):
            watching.await_resolved(SOON, alertname=alert)

        credited = client.get_account(account_id=wallet).account.posted
    measured(
        f"a Prometheus that asks twice a second: lane closed seen after {closed:.1f} s, a dead "
        f"gateway after {dead:.1f} s, money held up {held_up - wait:.1f} s after its 30 s"
    )
    assert "TenderMoneyHeldUp" not in before
    assert credited == tender.money("EUR", 100)


def test_a_killed_processor_is_seen_until_it_is_back(calm: tuple[Stack, Prometheus]) -> None:
    stack, watching = calm

    stack.kill("processor", stay_down=True)

    watching.await_firing(SOON, alertname="TenderServerDown", job="tender-processor")
    watching.await_firing(SOON, alertname="TenderLaneClosed")
    stack.start_one("processor")
    for alert in ("TenderServerDown", "TenderLaneClosed", "TenderGatewayLaneDisconnected"):
        watching.await_resolved(SOON, alertname=alert)


def test_a_killed_relay_is_seen_until_it_is_back(calm: tuple[Stack, Prometheus]) -> None:
    stack, watching = calm

    stack.kill("relay", stay_down=True)

    watching.await_firing(SOON, alertname="TenderServerDown", job="tender-relay")
    watching.await_firing(SOON, alertname="TenderRelayAway")
    stack.start_one("relay")
    for alert in ("TenderServerDown", "TenderRelayAway"):
        watching.await_resolved(SOON, alertname=alert)
