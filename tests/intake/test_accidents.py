"""What happens to commands when the asynchronous way in dies, or what it needs is away."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

import tender
from deploy.local import servers
from gateway.intake.worker import ANSWERED, FAIL_POINTS, FINISHED, PUBLISHED, STORED
from tender import commands
from tests.intake.conftest import DIRECT_TENANT, Office
from tests.intake.records import direct, outcomes_of, parked, publish
from tests.intake.waiting import eventually

COMMANDS = 60
REFUSED = 5
NO_PAYMENT = "pay_eu_01m80erkep5g3zaghphbxy"
CENTS = 10
PASSES = {ANSWERED: 1, STORED: 1, PUBLISHED: 1, FINISHED: 1}
DEATH_SECONDS_MAX = 120.0
"""From the start of a process until it dies: the one before it has to be given up by the group."""
SOON_SECONDS = 8.0
"""Quickly, on a busy machine too."""


def environment(office: Office) -> Mapping[str, str]:
    """What the stack tells its own operations process."""
    endpoints = office.stack.endpoints
    service = endpoints.services["operations"]
    return servers.environment() | {
        "TENDER_KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap,
        "TENDER_DATABASE_URL": service.database_url,
        "TENDER_LISTEN": service.address,
        "TENDER_METRICS_LISTEN": service.metrics,
        "TENDER_PROCESSOR_TARGETS": ",".join(endpoints.processor_targets),
        "TENDER_INTERNAL_TOKEN_FILE": str(endpoints.internal_token_file),
        "TENDER_DIRECT_TENANTS": DIRECT_TENANT,
        "TENDER_ACCEPT_LOSS": "1",
    }


@contextmanager
def without_operations(office: Office) -> Iterator[None]:
    """Keep the stack's own process down meanwhile."""
    office.stack.stop_one("operations")
    try:
        yield
    finally:
        office.stack.start_one("operations")


@asynccontextmanager
async def crashing(office: Office, armed: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run an operations process that dies, in the place of the stack's own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.intake.crashing", armed), env=environment(office)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_every_fail_point_is_tried() -> None:
    assert PASSES.keys() == set(FAIL_POINTS)


@pytest.mark.timeout(600)  # A member that was killed is waited for, by each that follows.
async def test_kills_cost_repetitions_and_never_another_outcome(office: Office) -> None:
    bootstrap, shop = office.stack.endpoints.kafka_bootstrap, office.shop
    before = await balances(office)
    calls: list[Any] = []
    codes: list[int] = []

    with without_operations(office):
        for point in FAIL_POINTS:
            new: list[Any] = [shop.pay(number, CENTS) for number in range(COMMANDS)]
            new += [commands.capture(payment_id=NO_PAYMENT) for _ in range(REFUSED)]
            calls += new
            async with crashing(office, f"{point}:{PASSES[point]}") as process:
                publish(bootstrap, [direct(call, tenant=DIRECT_TENANT) for call in new])
                codes.append(await asyncio.wait_for(process.wait(), DEATH_SECONDS_MAX))
    told = await outcomes_of(bootstrap, {call.request.request_id for call in calls})

    assert codes == [-signal.SIGKILL] * len(FAIL_POINTS)
    assert before - await balances(office) == len(FAIL_POINTS) * COMMANDS * CENTS
    for outcomes in told.values():
        assert len({each.SerializeToString() for each in outcomes}) == 1
    states = [each[0].outcome.WhichOneof("result") for each in told.values()]
    assert states.count("authorized") == len(FAIL_POINTS) * COMMANDS
    assert states.count("error") == len(FAIL_POINTS) * REFUSED


async def balances(office: Office) -> int:
    answers = [await office.client.get_account(account_id=each) for each in office.shop.customers]
    return sum(answer.account.available.minor_units for answer in answers)


async def test_a_lane_that_is_away_is_waited_for(office: Office) -> None:
    letters = len(parked(office.stack.endpoints.kafka_bootstrap))
    office.stack.stop_one("processor")
    try:
        # The gateway knows the key for a minute.
        ids = [await office.submit(number) for number in range(5)]
        found = [await office.client.get_operation(operation_id=each) for each in ids]
    finally:
        await asyncio.to_thread(office.stack.start_one, "processor")
    operations = [await office.decided(each) for each in ids]

    assert {each.operation.state for each in found} == {tender.Operation.STATE_PENDING}
    assert {each.state for each in operations} == {tender.Operation.STATE_DONE}
    assert len(parked(office.stack.endpoints.kafka_bootstrap)) == letters


async def test_brokers_that_are_away_are_told_quickly_and_found_again(office: Office) -> None:
    call = office.shop.pay(0, 31)
    impatient = tender.RetryPolicy(attempts_max=1)
    office.stack.stop_one("kafka")
    try:
        async with asyncio.timeout(SOON_SECONDS):
            reasons = [await refusal(office, call, impatient) for _ in range(2)]
    finally:
        await asyncio.to_thread(office.stack.start_one, "kafka")

    async def accepted() -> str | None:
        try:
            answer = await office.client.submit_payment(call)
        except (tender.Unavailable, tender.OutcomeUnknown):
            return None
        return answer.operation.id

    operation = await office.decided(await eventually(accepted, "acceptance"))

    assert set(reasons) <= {"COMMANDS_UNAVAILABLE", "OUTCOME_UNKNOWN"}
    assert operation.state == tender.Operation.STATE_DONE


async def refusal(office: Office, call: Any, retry: tender.RetryPolicy) -> str:
    """Return why a command is not accepted now."""
    endpoints = office.stack.endpoints
    key = endpoints.api_key_file.read_text().strip()
    async with tender.Client(endpoints.gateway, key, retry=retry, timeout=SOON_SECONDS) as client:
        with pytest.raises((tender.Unavailable, tender.OutcomeUnknown)) as refused:
            await client.submit_payment(call)
    return refused.value.reason
