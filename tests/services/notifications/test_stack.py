"""The whole of it: payments through the gateway, the relay and Kafka, to somebody's mailbox."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner, Result

import tender
from deploy.local import cli
from deploy.local.options import StackOptions
from deploy.local.stack import Stack
from tender.v1 import notification_pb2 as pb
from tests.consumers.conftest import eventually
from tests.services.notifications import makers
from tests.services.notifications.mailbox import Mailbox
from tests.services.notifications.provider import Provider

Run = Callable[..., Awaitable[Result]]

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
async def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Mailbox, Provider]]:
    folder = tmp_path_factory.mktemp("provider")
    async with Mailbox() as mailbox, Provider(folder) as provider:
        yield mailbox, provider


@pytest.fixture(scope="module")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, servers: tuple[Mailbox, Provider]
) -> AsyncIterator[Stack]:
    """A stack with the service."""
    mailbox, provider = servers
    environment = {
        "TENDER_SMTP_HOST": "127.0.0.1",
        "TENDER_SMTP_PORT": str(mailbox.port),
        "TENDER_SMTP_SECURITY": "none",
        "TENDER_MAIL_SENDER": "payments@shop.example.com",
        "TENDER_MAIL_SENDER_NAME": "The Shop",
        "TENDER_SMS_PROVIDER_URL": provider.url,
        "TENDER_PROVIDER_TOKEN_FILE": str(provider.token_file),
    }
    options = StackOptions(
        tmp_path_factory.mktemp("stack"),
        replicas=0,
        relay=True,
        services=("notifications",),
        service_env={"notifications": environment},
    )
    made = Stack(options)
    await asyncio.to_thread(made.__enter__)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.__exit__, None, None, None)


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[tender.Client]:
    """Calls with the development key, which has every scope."""
    key = stack.endpoints.api_key_file.read_text().strip()
    async with tender.Client(stack.endpoints.gateway, key) as made:
        yield made


@pytest.fixture
def run(stack: Stack) -> Run:
    """Runs the program against the stack."""

    async def invoke(*arguments: str, input: str | None = None) -> Result:
        env = {
            "TENDER_DATA_DIR": str(stack.options.data_dir),
            "TENDER_KAFKA_BOOTSTRAP": None,
            "TENDER_TARGET": None,
            "TENDER_API_KEY": None,
            "TENDER_OPERATOR": "ada@till",
            "COLUMNS": "300",
        }
        runner = CliRunner(env=env)
        return await asyncio.to_thread(lambda: runner.invoke(cli.app, list(arguments), input=input))

    return invoke


def said(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def logs_of(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*.log"))


async def paid(client: tender.Client, user: str, run_id: str) -> str:
    """Let a user pay 10.50 EUR; return the payment's id."""
    payer = await client.create_account(user_id=user, currency_code="EUR", request_id=f"a{run_id}")
    till = await client.create_account(
        user_id=f"shop-{run_id}",
        currency_code="EUR",
        kind=tender.Account.KIND_MERCHANT_WALLET,
        request_id=f"t{run_id}",
    )
    terms = tender.SettlementTerms(currency_code="EUR", account_id=till.account.id)
    shop = await client.create_merchant(
        reference=f"shop-{run_id}",
        display_name="Corner Coffee",
        settlement_terms=[terms],
        request_id=f"m{run_id}",
    )
    await client.create_transfer(
        source_account_id="world",
        destination_account_id=payer.account.id,
        amount=tender.money("EUR", 5_000),
        request_id=f"w{run_id}",
    )
    answer = await client.authorize_payment(
        payer_account_id=payer.account.id,
        merchant_id=shop.merchant.id,
        amount=tender.money("EUR", 1_050),
        request_id=f"p{run_id}",
    )
    return answer.payment.id


async def test_a_payment_comes_to_the_payers_mailbox(
    client: tender.Client, servers: tuple[Mailbox, Provider], run: Run
) -> None:
    mailbox, _ = servers
    await run("notifications", "contacts", "put", "anna", "--email", "anna@example.com")

    payment = await paid(client, "anna", "1")
    await eventually(lambda: len(mailbox.messages) == 1, "an e-mail")

    (message,) = mailbox.messages
    text = message.get_body(("plain",))
    assert text is not None
    assert payment in text.get_content()
    assert "€10.50" in message["Subject"]
    assert message["To"] == "anna@example.com"
    listed = said(await run("notifications", "list", "--user", "anna", "--json"))
    (one,) = listed["notifications"]
    assert (one["state"], one["maskedAddress"]) == ("STATE_SENT", "a***@example.com")
    shown = await run("notifications", "show", one["id"])
    assert "SENT" in shown.stdout
    assert "anna@example.com" not in shown.stdout + json.dumps(listed)

    again = said(await run("notifications", "resend", one["id"], "--request-id", "r1", "--json"))
    same = said(await run("notifications", "resend", one["id"], "--request-id", "r1", "--json"))
    await eventually(lambda: len(mailbox.messages) == 2, "an e-mail again")

    assert again["notification"]["id"] == same["notification"]["id"] != one["id"]
    assert mailbox.messages[1]["Subject"] == message["Subject"]
    assert mailbox.messages[1]["Message-ID"] != message["Message-ID"]


async def test_a_template_that_is_missing_or_bad_is_found_mended_and_replayed(
    stack: Stack, servers: tuple[Mailbox, Provider], run: Run
) -> None:
    """The operator's walk, with the `tender` command alone."""
    _, provider = servers
    await run("notifications", "contacts", "put", "ben", "--phone", "+43 660 1234567")
    request = makers.request(1, user_id="ben", texts={"code": "123456"})
    producer = Producer({"bootstrap.servers": stack.endpoints.kafka_bootstrap})
    producer.produce(
        "notifications", request.SerializeToString(), b"ben", headers=[("schema-version", b"1")]
    )
    assert producer.flush(30) == 0

    async def is_parked() -> bool:
        listed = await run("dlq", "list", "--json")
        return "TEMPLATE_MISSING" in listed.stdout

    await eventually(is_parked, "letter")
    bad = await run(
        *("notifications", "templates", "put", "login_code", "sms", "en"),
        *("--text", "-", "--sample", "code=1"),
        input="Your code is {{ kode }}.",
    )
    assert bad.exit_code == 1
    assert "TEMPLATE_BROKEN" in bad.output
    assert "'kode' is undefined" in bad.output
    template = "Your code is {{ code }}."
    put = await run(
        *("notifications", "templates", "put", "login_code", "sms", "en", "--json"),
        *("--text", "-", "--sample", "code=1"),
        input=template,
    )
    assert said(put)["template"]["version"] == 1
    preview = said(
        await run("notifications", "templates", "preview", "login_code", "sms", "--json")
    )
    assert preview["text"] == "Your code is 1."

    replayed = await run("dlq", "replay", "--cause", "TEMPLATE_MISSING")
    assert replayed.exit_code == 0, replayed.output
    await eventually(lambda: len(provider.posts) == 1, "a text message")

    assert provider.posts[0].content["text"] == "Your code is 123456."
    assert provider.posts[0].content["to"] == "+436601234567"
    assert "TEMPLATE_MISSING" not in (await run("dlq", "list", "--json")).stdout


async def test_quiet_hours_are_set_and_words_shown_by_the_command(run: Run) -> None:
    put = ("notifications", "contacts", "put", "dora", "--email", "dora@example.com")
    show = ("notifications", "templates", "show", "payment_captured.payer", "email")

    contact = said(await run(*put, "--quiet-hours", "22:00-07:00", "--json"))["contact"]
    words, unknown = await run(*show, "en"), await run(*show, "fr")

    assert (contact["quietFrom"], contact["quietUntil"]) == ("22:00", "07:00")
    assert "{{ payment.captured | money }}" in words.stdout
    assert (unknown.exit_code, "no such template" in unknown.stderr) == (1, True)


async def test_nobodys_address_is_in_a_log(stack: Stack, client: tender.Client, run: Run) -> None:
    await run("notifications", "contacts", "put", "carl", "--email", "carl@example.com")

    with pytest.raises(tender.InvalidArgument):
        await client.put_notification_contact(
            contact=pb.NotificationContact(user_id="carl", email_address="carl@@example.com")
        )
    deleted = await run("notifications", "contacts", "delete", "carl")

    assert deleted.exit_code == 0
    with pytest.raises(tender.NotFound) as unknown:
        await client.get_notification_contact(user_id="carl")
    assert unknown.value.reason == "CONTACT_UNKNOWN"
    logs = logs_of(stack.options.data_dir)
    assert "service_started" in logs
    for address in ("anna@example.com", "carl@", "6601234567"):
        assert address not in logs


async def test_the_status_shows_where_the_relay_is_that_nobody_calls(
    stack: Stack, run: Run
) -> None:
    told = json.loads((await run("status", "--json")).stdout)
    shown = await run("status")

    ports = {each["name"]: each["port"] for each in told["children"]}
    assert ports["relay"] == int(stack.endpoints.relay_metrics.rpartition(":")[2])
    assert all(ports.values())
    assert "None" not in shown.stdout
