"""A real stack under a little of everything, and what its servers show and log meanwhile."""

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import parser

import tender
from deploy.local import database, folder
from deploy.local.stack import Stack, StackOptions

SERVERS = ("gateway", "processor")
CARD_NUMBER = "4111 1111 1111 1111"  # Passes Luhn; nobody's.
# The edge refuses a card number, but cannot tell this from a hexadecimal id; the logs still must.
DISGUISED = "card4111111111111111"
SCRAPE_SECONDS_MAX = 5.0
POISON = 666
FORBID_POISON = f"ALTER TABLE payments ADD CONSTRAINT no_poison CHECK (amount <> {POISON})"

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Scrape:
    """What one server showed: every series by name and labels, and every family's name and type."""

    series: Mapping[str, Mapping[Labels, float]]
    families: Mapping[str, str]

    def total(self, name: str, **labels: str) -> float:
        """Sum what matches the labels."""
        wanted = labels.items()
        found = self.series.get(name, {})
        return sum(value for own, value in found.items() if wanted <= set(own))

    def names(self) -> set[str]:
        """Every name that a query may use, also of families that have no series yet."""
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}
        return {
            family + suffix
            for family, kind in self.families.items()
            for suffix in suffixes.get(kind, ("",))
        }


@dataclass(frozen=True)
class Seen:
    """What was seen of the servers before and after the traffic, then after a poisonous command."""

    before: Mapping[str, Scrape]
    after: Mapping[str, Scrape]
    troubled: Mapping[str, Scrape]
    error_id: str
    logs: Mapping[str, str]

    def moved(self, server: str, name: str, **labels: str) -> float:
        after = self.after[server].total(name, **labels)
        return after - self.before[server].total(name, **labels)


def scrape(address: str) -> Scrape:
    with urllib.request.urlopen(
        f"http://{address}/metrics", timeout=SCRAPE_SECONDS_MAX
    ) as response:
        text = response.read().decode()
    series: dict[str, dict[Labels, float]] = {}
    families: dict[str, str] = {}
    for family in parser.text_string_to_metric_families(text):
        families[family.name] = family.type
        for sample in family.samples:
            series.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return Scrape(series, families)


def scrapes(endpoints: folder.Endpoints) -> dict[str, Scrape]:
    return {
        "gateway": scrape(endpoints.gateway_metrics),
        "processor": scrape(endpoints.processor_metrics),
    }


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Everything that a day brings, once; then the lane is lost and found again."""
    options = StackOptions(
        data_dir=Path(tmp_path_factory.mktemp("observed")),
        replicas=0,
        gateway_env={"TENDER_REPLAY_CACHE": "true"},
    )
    with Stack(options) as stack:
        endpoints = stack.endpoints
        key = endpoints.api_key_file.read_text().strip()
        before = scrapes(endpoints)
        with tender.SyncClient(endpoints.gateway, key) as client:
            shop, ada = open_shop(client)
            do_business(client, shop, ada)
        come_with_wrong_key(endpoints.gateway)
        after = scrapes(endpoints)
        error_id = send_poison(endpoints, key, shop, ada)
        troubled = scrapes(endpoints)
        stack.kill("processor")
        stack.start_one("processor")
        with tender.SyncClient(endpoints.gateway, key) as client:
            pay(client, shop, ada, "after-restart")
    # Read once all has stopped, so that the end is among it.
    logs = {name: stack.log(name).read_text() for name in SERVERS}
    return Seen(before, after, troubled, error_id, logs)


def open_shop(client: tender.SyncClient) -> tuple[str, str]:
    wallet = client.create_account(
        user_id="shop", currency_code="EUR", kind=tender.Account.KIND_MERCHANT_WALLET
    )
    terms = tender.SettlementTerms(currency_code="EUR", account_id=wallet.account.id)
    shop = client.create_merchant(reference="shop", display_name="Shop", settlement_terms=[terms])
    ada = client.create_account(user_id="ada", currency_code="EUR")
    client.create_transfer(
        source_account_id="world",
        destination_account_id=ada.account.id,
        amount=tender.money("EUR", 10_000),
    )
    return shop.merchant.id, ada.account.id


def pay(
    client: tender.SyncClient, shop: str, ada: str, request_id: str, cents: int = 100
) -> tender.v1.payment_pb2.AuthorizePaymentResponse:
    return client.authorize_payment(
        payer_account_id=ada,
        merchant_id=shop,
        amount=tender.money("EUR", cents),
        description=f"paid with {DISGUISED}",
        metadata={"card": DISGUISED},
        request_id=request_id,
    )


def do_business(client: tender.SyncClient, shop: str, ada: str) -> None:
    """Pay, decline, replay, refuse, refund, and read."""
    paid = pay(client, shop, ada, f"paid {DISGUISED}").payment
    pay(client, shop, ada, f"paid {DISGUISED}")
    declined = pay(client, shop, ada, "too-much", cents=99_999_999).payment
    assert declined.state == tender.Payment.STATE_DECLINED
    with pytest.raises(tender.RequestIdReused):
        pay(client, shop, ada, f"paid {DISGUISED}", cents=200)
    with pytest.raises(tender.PaymentStateRefused):
        client.void_payment(payment_id=paid.id)
    with pytest.raises(tender.InvalidArgument):
        pay(client, shop, ada, "nothing", cents=0)
    with pytest.raises(tender.InvalidArgument):
        pay(client, shop, ada, CARD_NUMBER)
    client.refund_payment(payment_id=paid.id, description=DISGUISED)
    assert client.get_payment(payment_id=paid.id).payment.refunded.minor_units == 100
    client.get_account(account_id=ada)


def send_poison(endpoints: folder.Endpoints, key: str, shop: str, ada: str) -> str:
    """Make the database refuse an amount that the lane allows; return the answer's error id."""
    database.run_async(execute(endpoints.owner_url, FORBID_POISON))
    with (
        tender.SyncClient(endpoints.gateway, key, retry=tender.NO_RETRIES) as client,
        pytest.raises(tender.TenderError) as failed,
    ):
        pay(client, shop, ada, "poison", cents=POISON)
    assert failed.value.reason == "INTERNAL"
    return failed.value.metadata["error_id"]


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def come_with_wrong_key(target: str) -> None:
    with (
        tender.SyncClient(target, "tdr_no_such_key") as stranger,
        pytest.raises(tender.Unauthenticated),
    ):
        stranger.get_account(account_id="acc_eu_0000000000000000000000")
