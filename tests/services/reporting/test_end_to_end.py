"""The reporting service in a whole stack: gateway, lane, relay, broker, service, program."""

import asyncio
import csv
import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

import tender
from deploy.local import cli, devkey
from deploy.local.options import DEVELOPMENT_TENANT
from deploy.local.stack import Stack, StackOptions
from tender import accounts, merchants, reporting

WAIT_SECONDS_MAX = 90.0
PAYMENTS = 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    options = StackOptions(
        data_dir=tmp_path_factory.mktemp("reporting"),
        replicas=0,
        relay=True,
        services=("reporting",),
    )
    with Stack(options) as running:
        yield running


class Shop:
    """A merchant with payments, one of them refunded in part, and its wallet."""

    def __init__(self, client: tender.SyncClient) -> None:
        wallet = client.invoke(
            accounts.create(
                user_id="shop", currency_code="EUR", kind=tender.Account.KIND_MERCHANT_WALLET
            )
        )
        payer = client.invoke(accounts.create(user_id="ada", currency_code="EUR"))
        self.wallet, self.payer = wallet.account.id, payer.account.id
        client.create_transfer(
            source_account_id="world",
            destination_account_id=self.payer,
            amount=tender.money("EUR", 100_000),
        )
        terms = tender.SettlementTerms(
            currency_code="EUR",
            account_id=self.wallet,
            fee_schedule=tender.FeeSchedule(basis_points=100),
        )
        made = client.invoke(
            merchants.create(reference="shop", display_name="Shop", settlement_terms=[terms])
        )
        self.merchant = made.merchant.id
        paid = [
            client.authorize_payment(
                payer_account_id=self.payer,
                merchant_id=self.merchant,
                amount=tender.money("EUR", 1_000 + number),
                description="=1+1" if number == 3 else "",
                metadata={"order": str(number)},
            )
            for number in range(PAYMENTS)
        ]
        client.refund_payment(payment_id=paid[0].payment.id, amount=tender.money("EUR", 300))


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[tender.SyncClient]:
    key = stack.endpoints.api_key_file.read_text().strip()
    with tender.SyncClient(stack.endpoints.gateway, key) as made:
        yield made


@pytest.fixture(scope="module")
def shop(client: tender.SyncClient) -> Shop:
    made = Shop(client)
    until = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        try:
            found = client.get_account_statement(account_id=made.wallet, page_size=1_000)
            if len(found.lines) >= 2 * PAYMENTS + 1 and len(_all(client, made)) == PAYMENTS:
                return made
        except tender.TenderError as error:
            if time.monotonic() > until or error.reason not in {
                "ACCOUNT_UNKNOWN",
                "MERCHANT_UNKNOWN",
            }:
                raise
        assert time.monotonic() < until, "the events did not arrive"
        time.sleep(0.2)


def _all(client: tender.SyncClient, shop: Shop, **filters: Any) -> list[tender.Payment]:
    chosen = reporting.payment_filter(merchant_id=shop.merchant, **filters)
    return list(client.iter_found_payments(filter=chosen, page_size=7))


@pytest.fixture
def run(stack: Stack) -> Any:
    def invoke(*arguments: str) -> Result:
        env = {"TENDER_DATA_DIR": str(stack.options.data_dir), "COLUMNS": "300"}
        return CliRunner(env=env).invoke(cli.app, ["report", *arguments])

    return invoke


def test_a_report_is_the_ledger_to_the_cent(client: tender.SyncClient, shop: Shop) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    answer = client.get_merchant_report(
        merchant_id=shop.merchant, from_date=today - datetime.timedelta(days=1), to_date=today
    )

    [total] = answer.totals
    amounts = [1_000 + number for number in range(PAYMENTS)]
    assert total.captured.minor_units == sum(amounts)
    assert total.refund_count == 1
    assert total.refunded.minor_units == 300
    posted = client.get_account(account_id=shop.wallet).account.posted.minor_units
    earned = total.captured.minor_units - total.fees.minor_units
    given = total.refunded.minor_units - total.fees_refunded.minor_units
    assert posted == earned - given
    assert sum(each.count for each in total.states) == PAYMENTS


def test_an_answer_says_how_far_it_has_read(client: tender.SyncClient, shop: Shop) -> None:
    until = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        position = client.get_reporting_status().position
        if position.HasField("staleness") and position.staleness.seconds < 30:
            break
        assert time.monotonic() < until
        time.sleep(0.2)

    [shard] = position.shards
    assert shard.shard == "s1"
    assert shard.seq > 10
    assert not shard.history_lost


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"metadata": {"order": "7"}}, 1),
        ({"metadata": {"order": "none"}}, 0),
        ({"currency_code": "EUR", "minor_units_min": 1_020}, PAYMENTS - 20),
        ({"currency_code": "EUR", "minor_units_max": 1_004}, 5),
        ({"states": [tender.Payment.STATE_DECLINED]}, 0),
        ({"states": [tender.Payment.STATE_CAPTURED]}, PAYMENTS),
    ],
)
def test_payments_are_found_by_filters(
    client: tender.SyncClient, shop: Shop, filters: dict[str, Any], expected: int
) -> None:
    found = _all(client, shop, **filters)

    assert len(found) == expected
    assert len({payment.id for payment in found}) == expected
    assert [it.id for it in found] == sorted((it.id for it in found), reverse=True)


def test_a_statement_runs_to_the_balance(client: tender.SyncClient, shop: Shop) -> None:
    lines = list(client.iter_account_statement(account_id=shop.wallet, page_size=9))

    balance = 0
    for line in lines:
        balance += line.amount.minor_units
        assert line.posted.minor_units == balance
    assert balance == client.get_account(account_id=shop.wallet).account.posted.minor_units


def test_a_merchants_key_sees_its_own_alone(stack: Stack, shop: Shop) -> None:
    def key(merchant: str) -> str:
        return devkey.create(
            stack.endpoints.owner_url,
            stack.endpoints.api_key_pepper_file.parent,
            tenant=DEVELOPMENT_TENANT,
            scopes=["merchant"],
            merchant_id=merchant,
            label="till",
        )

    with tender.SyncClient(stack.endpoints.gateway, key(shop.merchant)) as own:
        chosen = reporting.payment_filter()
        assert len(list(own.iter_found_payments(filter=chosen))) == PAYMENTS
        assert own.get_account_statement(account_id=shop.wallet).lines
        with pytest.raises(tender.NotFound, match="ACCOUNT_UNKNOWN"):
            own.get_account_statement(account_id=shop.payer)
    with tender.SyncClient(stack.endpoints.gateway, key("mer_eu_" + "0" * 22)) as other:
        chosen = reporting.payment_filter(merchant_id=shop.merchant)
        with pytest.raises(tender.NotFound, match="MERCHANT_UNKNOWN"):
            other.search_payments(filter=chosen)
        with pytest.raises(tender.NotFound, match="ACCOUNT_UNKNOWN"):
            other.get_account_statement(account_id=shop.wallet)


def test_what_is_no_question_is_refused_with_its_fields(client: tender.SyncClient) -> None:
    chosen = reporting.payment_filter(merchant_id="", minor_units_min=5)

    with pytest.raises(tender.InvalidArgument) as refused:
        client.search_payments(filter=chosen)

    fields = {it.field for it in refused.value.field_violations}
    assert fields == {"filter.merchant_id", "filter.currency_code"}


def test_the_program_writes_files_that_spreadsheets_do_not_run(
    run: Any, shop: Shop, tmp_path: Path
) -> None:
    out = tmp_path / "payments.csv"

    result = run("export", "--merchant", shop.merchant, "--out", str(out))

    assert result.exit_code == 0, result.output
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == PAYMENTS
    assert [row["description"] for row in rows if row["description"]] == ["'=1+1"]
    assert sum(int(row["amount_minor_units"]) for row in rows) == sum(range(1_000, 1_030))
    statement = tmp_path / "statement.csv"
    result = run("export", shop.wallet, "--out", str(statement))
    assert result.exit_code == 0, result.output
    assert statement.read_bytes().count(b"\r\n") == 2 * PAYMENTS + 2


def test_the_program_shows_days_and_how_far_they_are(run: Any, shop: Shop) -> None:
    for command in (
        ("merchants", "--merchant", shop.merchant),
        ("search", "--merchant", shop.merchant, "--metadata", "order=7"),
        ("statement", shop.wallet),
        ("status",),
    ):
        shown = run(*command)
        assert shown.exit_code == 0, shown.output
        as_json = run(*command, "--json")
        assert json.loads(as_json.output)


def test_reports_are_made_anew_and_equal_the_ledger(
    run: Any, client: tender.SyncClient, shop: Shop
) -> None:
    before = client.get_account_statement(account_id=shop.wallet, page_size=1_000)

    rebuilt = run("rebuild", "--json")
    compared = run("verify", "--json")

    assert rebuilt.exit_code == 0, rebuilt.output
    assert json.loads(rebuilt.output)["payments"] >= PAYMENTS
    assert compared.exit_code == 0, compared.output
    assert json.loads(compared.output)["payments"] == PAYMENTS
    after = client.get_account_statement(account_id=shop.wallet, page_size=1_000)
    assert after.lines == before.lines
    assert client.get_reporting_status().HasField("rebuild_time")


async def test_a_sum_that_is_wrong_is_named(run: Any, stack: Stack, shop: Shop) -> None:
    connection = await asyncpg.connect(stack.endpoints.services["reporting"].owner_url)
    change = "UPDATE report.{} SET captured = captured + $1 WHERE merchant_id = $2"
    for table in ("payments", "day_volumes"):
        await connection.execute(change.format(table), 1, shop.merchant)

        found = await asyncio.to_thread(run, "verify", "--wait", "0", "--json")

        assert found.exit_code == 1
        named = {(it["of"], it["name"]) for it in json.loads(found.output)["differences"]}
        assert ("days" if table == "day_volumes" else "payments", "captured") in named
        await connection.execute(change.format(table), -1, shop.merchant)
    await connection.close()
    assert (await asyncio.to_thread(run, "verify", "--json")).exit_code == 0


def test_reports_are_made_anew_from_archived_rows(run: Any, stack: Stack, shop: Shop) -> None:
    def journal(*arguments: str) -> dict[str, Any]:
        env = {"TENDER_DATA_DIR": str(stack.options.data_dir), "COLUMNS": "300"}
        result = CliRunner(env=env).invoke(cli.app, ["journal", *arguments, "--json"])
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.output)["s1"]
        return found

    assert journal("archive", "--after", "0")["archived"] > PAYMENTS
    assert journal("verify")["rows"] == journal("status")["archivedTo"]

    rebuilt = run("rebuild", "--json")

    assert rebuilt.exit_code == 0, rebuilt.output
    assert json.loads(rebuilt.output)["payments"] >= PAYMENTS
    compared = run("verify", "--json")
    assert compared.exit_code == 0, compared.output
