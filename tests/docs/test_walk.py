"""The operator's walk of docs/operations.md, on a stack in which each of its three faults happens.

What the page writes is given to a shell as it stands there, and what it shows is compared with what
comes out.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

import tender
from deploy.local import services
from deploy.local.options import StackOptions
from deploy.local.stack import Stack
from tender.v1 import notification_pb2, payment_pb2
from tests.consumers.conftest import publish
from tests.consumers.events import Sent
from tests.docs import console
from tests.docs.console import Different, Names, Step
from tests.services.notifications import makers
from tests.services.notifications.mailbox import Mailbox
from tests.services.webhooks.receiver import Received, Receiver, receiving, status

ROOT = Path(__file__).parents[2]
PAGE = console.section(
    (ROOT / "docs/operations.md").read_text(), "## A walk: three things that go wrong"
)
POISON, TEMPLATE, RECEIVER = (
    console.steps(console.section(PAGE, f"### {title}"))
    for title in (
        "An event that nobody can read",
        "A template that is missing or broken",
        "A receiver that does not take its webhooks",
    )
)
COMMAND_SECONDS_MAX = 60.0
WAIT_SECONDS_MAX = 60.0
MENDED = [step.command.split()[:3] for step in RECEIVER].index(["tender", "webhooks", "enable"])
"""The first command that is given when the receiver's people have mended it."""

pytestmark = pytest.mark.timeout(300)


class Operator:
    """Gives the page's commands in a shell, on the machine of a stack."""

    def __init__(self, data_dir: Path) -> None:
        bin_dir = Path(sys.executable).parent
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TENDER_")
        } | {
            "PATH": f"{bin_dir}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TENDER_DATA_DIR": str(data_dir),
            "TENDER_OPERATOR": "ada@till",
        }
        self._names = Names()

    async def walk(self, steps: Sequence[Step]) -> None:
        """Give commands in turn; what only looks is given until it shows what the page shows."""
        for step in steps:
            command = self._names.put_into(step.command)
            stop_by = time.monotonic() + WAIT_SECONDS_MAX
            while True:
                printed = await self.give(command)
                try:
                    self._names.compare(step.shown, printed)
                    break
                except Different as different:
                    if not step.changes_nothing or time.monotonic() > stop_by:
                        raise Different(f"{command}\n{different}") from None

    async def give(self, command: str) -> str:
        """Return what a command prints."""
        done = await asyncio.to_thread(
            lambda: subprocess.run(
                ["sh", "-c", command],
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS_MAX,
                check=False,
            )
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """A mail server."""
    async with Mailbox() as server:
        yield server


@pytest.fixture
async def stack(mailbox: Mailbox) -> AsyncIterator[Stack]:
    """What `tender up` starts, with a mail server."""
    mail = {
        "TENDER_SMTP_HOST": "127.0.0.1",
        "TENDER_SMTP_PORT": str(mailbox.port),
        "TENDER_SMTP_SECURITY": "none",
        "TENDER_MAIL_SENDER": "logins@shop.example.com",
    }
    with tempfile.TemporaryDirectory(prefix="tender-test-") as folder:
        options = StackOptions(
            Path(folder),
            replicas=0,
            relay=True,
            services=services.names(),
            service_env={"notifications": mail},
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
    async with tender.Client(stack.endpoints.gateway, key, timeout=30) as opened:
        yield opened


async def test_three_things_go_wrong_and_are_mended_as_the_page_says(
    stack: Stack, mailbox: Mailbox, client: tender.Client
) -> None:
    operator = Operator(stack.options.data_dir)

    poison(stack)
    await operator.walk(POISON)

    await ask_for_a_message(stack, client)
    await operator.walk(TEMPLATE)

    async with receiving(lambda _received: status(500)) as receiver:
        await pay(client, receiver.url)
        await operator.walk(RECEIVER[:MENDED])
        refused = set(receiver.event_ids)
        taken = mend(receiver)
        await operator.walk(RECEIVER[MENDED:])

    assert len(refused) == 1
    assert taken == ["payment_authorized", "payment_captured", "payment_refunded"]
    [message] = mailbox.messages
    text = message.get_body(("plain",))
    assert text is not None
    assert text.get_content().strip() == "Your code is 482913."
    assert (await operator.give("tender dlq list")).strip() == "No dead letters."


TABLE = "letter  waiting  attempts\nwebhooks/payments/2/7  3  1\n"


@pytest.mark.parametrize(
    "printed",
    [
        "letter  waiting  attempts\nwebhooks/payments/0/12  4  1\n",
        "letter  waiting  attempts\nreporting/payments/0/12  3  1\n",
        "letter  waiting\nwebhooks/payments/0/12  3\n",
        "letter  waiting  attempts\n",
        "No dead letters.\n",
        "",
    ],
)
def test_what_a_page_does_not_show_is_noticed(printed: str) -> None:
    with pytest.raises(Different):
        Names().compare(TABLE, printed)


def test_a_name_of_a_page_stands_for_one_of_the_run_from_then_on() -> None:
    names = Names()
    names.compare(TABLE, "letter  waiting  attempts\nwebhooks/payments/0/12  3  9\n")

    assert names.put_into("dlq show webhooks/payments/2/7") == "dlq show webhooks/payments/0/12"
    for printed in ("letter  webhooks/payments/0/13\n", "letter  reporting/payments/0/12\n"):
        with pytest.raises(Different):
            names.compare("letter  webhooks/payments/2/7\n", printed)


def test_two_names_of_a_page_are_not_one_in_the_run() -> None:
    names = Names()
    names.compare("one  whe_1\n", "one  whe_a\n")

    with pytest.raises(Different):
        names.compare("two  whe_2\n", "two  whe_a\n")


def poison(stack: Stack) -> None:
    """Write to a topic what is no event of it."""
    record = Sent(b"order-77", b"order 77 is paid", [("sent-by", b"import.sh")])
    publish(stack.endpoints.kafka_bootstrap, "payments", [record])


async def ask_for_a_message(stack: Stack, client: tender.Client) -> None:
    """Ask for a message whose template shows something that the request does not have."""
    contact = notification_pb2.NotificationContact(user_id="anna", email_address=makers.MAIL)
    await client.put_notification_contact(contact=contact)
    await client.put_notification_template(
        type="login_code",
        channel=notification_pb2.NOTIFICATION_CHANNEL_EMAIL,
        language="en",
        subject="Your code",
        text="Your code is {{ code }}, for {{ minutes }} minutes.",
        sample_texts={"code": "123456", "minutes": "5"},
    )
    request = makers.request(1, user_id="anna", texts={"code": "482913"})
    record = Sent(b"anna", request.SerializeToString(), [("schema-version", b"1")])
    publish(stack.endpoints.kafka_bootstrap, "notifications", [record])


async def pay(client: tender.Client, url: str) -> None:
    """Authorize, capture and refund a payment, of which a URL is told."""
    euros = tender.money("EUR", 1_050)
    wallet = tender.Account.KIND_MERCHANT_WALLET
    till = await client.create_account(user_id="corner-coffee", currency_code="EUR", kind=wallet)
    terms = tender.SettlementTerms(currency_code="EUR", account_id=till.account.id)
    shop = await client.create_merchant(
        reference="corner-coffee", display_name="Corner Coffee", settlement_terms=[terms]
    )
    payer = await client.create_account(user_id="ben", currency_code="EUR")
    await client.create_transfer(
        source_account_id="world", destination_account_id=payer.account.id, amount=euros
    )
    await client.create_webhook_endpoint(url=url, merchant_id=shop.merchant.id)
    paid = await client.authorize_payment(
        payer_account_id=payer.account.id,
        merchant_id=shop.merchant.id,
        amount=euros,
        capture_method=payment_pb2.CAPTURE_METHOD_MANUAL,
    )
    await client.capture_payment(payment_id=paid.payment.id)
    await client.refund_payment(payment_id=paid.payment.id)


def mend(receiver: Receiver) -> list[str]:
    """Let a receiver take what comes from now on; return the types of what it takes."""
    taken: list[str] = []

    def take(received: Received) -> bytes:
        taken.append(json.loads(received.body)["type"])
        return status(200)

    receiver.answer = take
    return taken
