"""What is written to the topic of commands by others than SubmitPayment."""

import asyncio
from typing import Any

import tender
from processor.consumers.letters import Letter
from tender import commands
from tests.intake.conftest import DIRECT_TENANT, Office
from tests.intake.records import Record, direct, outcomes_of, parked, publish, sealed
from tests.intake.waiting import eventually


async def letter_of(bootstrap: str, value: bytes) -> Letter:
    async def found() -> Letter | None:
        letters = await asyncio.to_thread(parked, bootstrap)
        return next((each for each in letters if each.delivery.value == value), None)

    return await eventually(found, "dead letter")


def request_id_of(call: Any) -> str:
    name: str = call.request.request_id
    return name


async def test_a_producer_of_a_listed_tenant_pays_without_a_seal(office: Office) -> None:
    bootstrap = office.stack.endpoints.kafka_bootstrap
    call = office.shop.pay(0, 123)

    publish(bootstrap, [direct(call, tenant=DIRECT_TENANT)])

    [outcome, *_] = (await outcomes_of(bootstrap, {request_id_of(call)}))[request_id_of(call)]
    assert outcome.outcome.authorized.payment.amount.minor_units == 123
    assert outcome.tenant_id == DIRECT_TENANT
    found = await office.client.get_operation(operation_id=outcome.operation_id)
    assert found.operation.state == tender.Operation.STATE_DONE


async def test_a_producer_of_another_tenant_is_parked(office: Office) -> None:
    bootstrap = office.stack.endpoints.kafka_bootstrap
    nobody, other = direct(office.shop.pay(0)), direct(office.shop.pay(1), tenant="acme")

    publish(bootstrap, [nobody, other])

    for record in (nobody, other):
        assert (await letter_of(bootstrap, record.value)).cause == "TENANT_NOT_ALLOWED"


async def test_a_seal_that_does_not_fit_is_parked(office: Office) -> None:
    bootstrap = office.stack.endpoints.kafka_bootstrap
    forged = direct(
        office.shop.pay(0),
        **{"tenant": DIRECT_TENANT, "tender-operation": "x" * 14, "tender-seal": "y" * 32},
    )

    publish(bootstrap, [forged])

    assert (await letter_of(bootstrap, forged.value)).cause == "SEAL_INVALID"


async def test_what_cannot_be_read_is_parked_and_others_flow_on(office: Office) -> None:
    bootstrap = office.stack.endpoints.kafka_bootstrap
    tenant = [("tenant", DIRECT_TENANT.encode())]
    key = office.shop.customers[0].encode()
    junk = {
        b"\xff\xff junk": tenant,
        b"": tenant,
        b"\x0a\x02\xff\xff": tenant,
        b"x" * 70_000: tenant,
    }
    unknown = direct(office.shop.pay(0), tenant=DIRECT_TENANT, **{"schema-version": "2"})
    behind = office.shop.pay(0, 7)

    publish(bootstrap, [Record(key, value, headers) for value, headers in junk.items()])
    publish(bootstrap, [unknown, direct(behind, tenant=DIRECT_TENANT)])

    await outcomes_of(bootstrap, {request_id_of(behind)})
    for value in junk:
        assert (await letter_of(bootstrap, value)).cause == "MALFORMED"
    assert (await letter_of(bootstrap, unknown.value)).cause == "UNKNOWN_VERSION"


async def test_a_bad_payment_has_an_outcome_with_the_reasons_of_its_method(office: Office) -> None:
    bootstrap = office.stack.endpoints.kafka_bootstrap
    bad = commands.authorize(
        payer_account_id="nobody", merchant_id="nowhere", amount=tender.money("EUR", 0)
    )
    late = commands.capture(payment_id="pay_eu_01m80erkep5g3zaghphbxy")
    card = commands.capture(payment_id="nothing", request_id="4111 1111 1111 1111")

    publish(bootstrap, [direct(call, tenant=DIRECT_TENANT) for call in (bad, late, card)])

    told = await outcomes_of(bootstrap, {request_id_of(bad), request_id_of(late), ""})
    for call, reason in ((bad, "AMOUNT_OUT_OF_RANGE"), (late, "PAYMENT_UNKNOWN")):
        [outcome, *_] = told[request_id_of(call)]
        assert reason in str(outcome.outcome.error)
        found = await office.client.get_operation(operation_id=outcome.operation_id)
        assert found.operation.state == tender.Operation.STATE_REFUSED
    assert not any(b"4111" in each.SerializeToString() for each in told[""])


async def test_a_record_that_comes_twice_has_one_effect_and_one_outcome(office: Office) -> None:
    bootstrap = office.stack.endpoints.kafka_bootstrap
    operation = await office.decided(await office.submit(0, 55))
    request_id = operation.outcome.request_id
    before = (await office.client.get_account(account_id=office.shop.customers[0])).account

    [copy] = [
        each for each in await asyncio.to_thread(sealed, bootstrap) if _is_of(each, request_id)
    ]
    publish(bootstrap, [copy, copy])
    marker = office.shop.pay(0, 1)
    publish(bootstrap, [direct(marker, tenant=DIRECT_TENANT)])
    told = await outcomes_of(bootstrap, {request_id, request_id_of(marker)})

    after = (await office.client.get_account(account_id=office.shop.customers[0])).account
    assert before.available.minor_units - after.available.minor_units == 1
    assert len({each.SerializeToString() for each in told[request_id]}) == 1


def _is_of(record: Record, request_id: str) -> bool:
    return request_id.encode() in record.value
