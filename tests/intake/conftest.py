"""A stack with the asynchronous way in, and a client of it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tender
from deploy.local.stack import Stack, StackOptions
from tests.acceptance.conftest import connect
from tests.acceptance.load import Recorder, Shop, open_shop
from tests.checker import History
from tests.intake.waiting import eventually

DIRECT_TENANT = "dev"
FUNDS = 1_000_000


@dataclass(frozen=True)
class Office:
    """A stack, a client and a shop whose customers have money."""

    stack: Stack
    client: tender.Client
    shop: Shop

    async def decided(self, operation_id: str) -> "tender.Operation":
        """Wait until an operation is decided."""

        async def found() -> "tender.Operation | None":
            answer = await self.client.get_operation(operation_id=operation_id)
            is_pending = answer.operation.state == tender.Operation.STATE_PENDING
            return None if is_pending else answer.operation

        return await eventually(found, "outcome")

    async def submit(self, number: int = 0, cents: int = 100, **options: str) -> str:
        """Submit a payment, and return the operation's id."""
        answer = await self.client.submit_payment(self.shop.pay(number, cents, **options))
        return answer.operation.id


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with the embedded Kafka."""
    options = StackOptions(
        data_dir=Path(tmp_path_factory.mktemp("intake")),
        replicas=0,
        services=("operations",),
        service_env={"operations": {"TENDER_DIRECT_TENANTS": DIRECT_TENANT}},
    )
    with Stack(options) as stack:
        stack.supervise_in_background()
        yield stack


@pytest.fixture
async def office(stack: Stack) -> AsyncIterator[Office]:
    """The stack's asynchronous way in, with a shop of a test's own."""
    async with connect(stack.endpoints) as client:
        shop = await open_shop(Recorder(client, History()), customers=3, funds=FUNDS)
        yield Office(stack, client, shop)
