"""The `tender` command: what it sends, what it prints, and how it ends."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup
from typer.testing import CliRunner, Result

import tender
from deploy.local import cli, demo_pages, demo_story
from deploy.local.commands import merchants
from deploy.local.demo_pages import Narrator
from kit.serving import Context
from tender.v1 import payment_pb2, payment_pb2_grpc
from tests.sdk.conftest import Fault, Script

Code = grpc.StatusCode
PAY = ["pay", "10.50 EUR", "--from", "acc_1", "--to", "mer_1"]
Run = Callable[..., Awaitable[Result]]


class Desk(Script):
    """Answers with a payment as it was asked for, declined above 100.00."""

    async def AuthorizePayment(self, request: Any, context: Context) -> Any:
        await self._play(request, context)
        payment = tender.Payment(
            id="pay_1",
            state=tender.Payment.STATE_CAPTURED,
            capture_method=request.capture_method,
            amount=request.amount,
            captured=request.amount,
            metadata=request.metadata,
        )
        if request.amount.minor_units > 10_000:
            payment.state = tender.Payment.STATE_DECLINED
            payment.decline_reason = payment_pb2.DECLINE_REASON_INSUFFICIENT_FUNDS
        return payment_pb2.AuthorizePaymentResponse(payment=payment, read_token="t1")


@pytest.fixture
async def desk() -> AsyncIterator[tuple[Desk, str]]:
    desk, server = Desk(), grpc.aio.server()
    payment_pb2_grpc.add_PaymentServiceServicer_to_server(desk, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield desk, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
def script(desk: tuple[Desk, str]) -> Desk:
    return desk[0]


@pytest.fixture
def run(desk: tuple[Desk, str]) -> Run:
    """Runs the program against the desk, beside the event loop that serves it."""

    async def invoke(*arguments: str) -> Result:
        env = {"TENDER_TARGET": desk[1], "TENDER_API_KEY": "key", "COLUMNS": "200"}
        runner = CliRunner(env=env)
        return await asyncio.to_thread(lambda: runner.invoke(cli.app, list(arguments)))

    return invoke


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., Result]:
    """Runs the program where no stack runs and nothing is set."""
    env = {
        "TENDER_TARGET": None,
        "TENDER_API_KEY": None,
        "TENDER_DATABASE_URL": None,
        "TENDER_KAFKA_BOOTSTRAP": None,
        "TENDER_DATA_DIR": str(tmp_path),
        "COLUMNS": "200",
    }
    return lambda *arguments: CliRunner(env=env).invoke(cli.app, list(arguments))


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    program = typer.main.get_command(cli.app)
    assert isinstance(program, TyperGroup)
    return _below(program)


def _below(group: TyperGroup) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from ((f"{name} {below}", one) for below, one in _below(command))
        else:
            yield name, command


COMMANDS = list(commands())


async def test_pay_sends_what_was_typed(run: Run, script: Desk) -> None:
    options = ["--manual", "--hold", "3600", "--metadata", "till=7", "--request-id", "order-1"]

    await run(*PAY, *options)

    sent = script.seen[0].request
    assert sent.amount == tender.money("EUR", 1050)
    assert (sent.payer_account_id, sent.merchant_id) == ("acc_1", "mer_1")
    assert sent.capture_method == tender.CAPTURE_METHOD_MANUAL
    assert (sent.hold_duration_seconds, sent.request_id) == (3600, "order-1")
    assert dict(sent.metadata) == {"till": "7"}


async def test_a_payment_is_shown_with_its_state_and_amounts(run: Run) -> None:
    result = await run(*PAY)

    assert result.exit_code == 0
    for shown in ("pay_1", "CAPTURED", "10.50 EUR"):
        assert shown in result.stdout


async def test_json_is_that_of_the_contract(run: Run) -> None:
    result = await run(*PAY, "--json")

    content = json.loads(result.stdout)
    assert content["readToken"] == "t1"
    assert content["payment"]["amount"] == {"currencyCode": "EUR", "minorUnits": "1050"}


async def test_quiet_prints_the_id_alone(run: Run) -> None:
    assert (await run(*PAY, "--quiet")).stdout == "pay_1\n"


@pytest.mark.parametrize(("options", "exit_code"), [([], 0), (["--fail-on-decline"], 4)])
async def test_a_declined_payment_is_shown_and_fails_only_when_asked(
    run: Run, options: list[str], exit_code: int
) -> None:
    result = await run("pay", "5000.00 EUR", "--from", "acc_1", "--to", "mer_1", *options)

    assert result.exit_code == exit_code
    assert "DECLINED" in result.stdout
    assert "INSUFFICIENT_FUNDS" in result.stdout


async def test_a_refusal_is_told_on_stderr_with_its_reason_and_a_hint(
    run: Run, script: Desk
) -> None:
    script.steps = [
        Fault(
            Code.ALREADY_EXISTS,
            "REQUEST_ID_REUSED",
            "The request_id was used for another request.",
            metadata={"fields": "amount"},
        )
    ]

    result = await run(*PAY)

    assert (result.exit_code, result.stdout) == (1, "")
    for told in ("REQUEST_ID_REUSED", "used for another request", "fields: amount", "hint:"):
        assert told in result.stderr


async def test_a_refused_field_is_named(run: Run, script: Desk) -> None:
    script.steps = [
        Fault(Code.INVALID_ARGUMENT, "FIELD_INVALID", violations={"description": "too long"})
    ]

    assert "description: too long" in (await run(*PAY)).stderr


async def test_an_error_is_json_too(run: Run, script: Desk) -> None:
    script.steps = [Fault(Code.NOT_FOUND, "MERCHANT_UNKNOWN", "There is no such merchant.")]

    result = await run(*PAY, "--json")

    error = json.loads(result.stderr)["error"]
    assert (error["reason"], error["code"]) == ("MERCHANT_UNKNOWN", "NOT_FOUND")


async def test_an_unknown_outcome_exits_3_and_names_the_request_id(run: Run, script: Desk) -> None:
    script.steps = [Fault(Code.INTERNAL, "INTERNAL")]

    result = await run(*PAY, "--request-id", "order-9")

    assert result.exit_code == 3
    assert "--request-id order-9" in result.stderr


async def test_show_follows_the_ids_prefix(run: Run, script: Desk) -> None:
    result = await run("show", "pay_77")

    assert script.seen[0].request.payment_id == "pay_77"
    assert "pay_77" in result.stdout


@pytest.mark.parametrize("resource_id", ["ref_1", "trf_1", "nonsense"])
async def test_show_explains_an_id_that_it_cannot_follow(run: Run, resource_id: str) -> None:
    result = await run("show", resource_id)

    assert result.exit_code == 2
    assert "hint:" in result.stderr


async def test_a_list_stops_at_its_limit(run: Run, script: Desk) -> None:
    found = [tender.Payment(id=f"pay_{number}") for number in (3, 2, 1)]
    script.pages = {"": payment_pb2.ListPaymentsResponse(payments=found)}

    result = await run("payments", "--limit", "2", "--quiet")

    assert result.stdout.split() == ["pay_3", "pay_2"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["pay", "10.5 EUR", "--from", "a", "--to", "m"],
        ["pay", "10.50", "--from", "a", "--to", "m"],
        ["pay", "10.50 EUR", "--to", "m"],
        [*PAY, "--manual", "--multiple"],
        [*PAY, "--metadata", "novalue"],
        ["transfer", "ten EUR", "--from", "a", "--to", "b"],
        ["merchant", "create", "shop"],
        ["merchant", "create", "shop", "--currency", "EUR", "--fixed", "5 JPY"],
        ["merchant", "update", "mer_1"],
        ["merchant", "update", "mer_1", "--basis-points", "5"],
        ["account", "open", "ada", "EUR", "--overdraft", "5 JPY"],
        ["up", "--port", "gateway=high"],
        ["up", "--kafka", "zookeeper"],
        ["nonsense"],
    ],
    ids=" ".join,
)
async def test_wrong_usage_exits_2_and_sends_nothing(
    run: Run, script: Desk, arguments: list[str]
) -> None:
    result = await run(*arguments)

    assert result.exit_code == 2
    assert result.stderr
    assert script.seen == []


@pytest.mark.parametrize(
    "arguments",
    [
        *(PAY, ["migrate"], ["verify"], ["key", "create", "--scope", "service"]),
        *(["topics", "check"], ["topics", "apply"]),
    ],
)
def test_without_a_stack_the_way_to_one_is_told(
    alone: Callable[..., Result], arguments: list[str]
) -> None:
    result = alone(*arguments)

    assert result.exit_code == 2
    assert "tender up" in result.stderr


def test_the_stacks_own_key_is_not_sent_to_another_target(alone: Callable[..., Result]) -> None:
    result = alone(*PAY, "--target", "pay.example.com:443")

    assert result.exit_code == 2
    assert "without a key" in result.stderr


def test_status_and_down_without_a_stack_say_so(alone: Callable[..., Result]) -> None:
    status, down = alone("status", "--json"), alone("down", "--json")

    assert (status.exit_code, json.loads(status.stdout)["running"]) == (1, False)
    assert (down.exit_code, json.loads(down.stdout)) == (0, {"stopped": False})


def test_version_is_json_too(alone: Callable[..., Result]) -> None:
    assert json.loads(alone("version", "--json").stdout)["grpcio"]


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_has_json_help_and_an_example(name: str, command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}

    assert "--json" in options
    assert command.help
    assert f"tender {name}" in (command.epilog or "")


def test_a_database_that_is_away_is_told_without_a_traceback(alone: Callable[..., Result]) -> None:
    result = alone("migrate", "--dsn", "postgresql://nobody@127.0.0.1:1/none")

    assert result.exit_code == 1
    assert "The database does not do it" in result.stderr


def test_the_demo_remembers_what_was_not_as_expected() -> None:
    narrator = Narrator(Console(file=io.StringIO()))
    narrator.scene("One")

    narrator.expect("this holds", True)
    narrator.expect("this does not", False)

    assert narrator.failures == ["scene 1: this does not"]


def test_the_demo_tells_an_answer_in_a_line() -> None:
    refund = tender.Refund(
        id="ref_1", state=tender.Refund.STATE_SUCCEEDED, amount=tender.money("BHD", 1_250)
    )
    payment = tender.Payment(
        id="pay_1", state=tender.Payment.STATE_CAPTURED, amount=tender.money("BHD", 5_000)
    )

    line = demo_pages.summary(payment_pb2.RefundPaymentResponse(payment=payment, refund=refund))

    assert Text.from_markup(line).plain == (
        "ref_1 SUCCEEDED 1.250 BHD; pay_1 CAPTURED amount 5.000 BHD"
    )


def test_fees_are_those_of_each_currency() -> None:
    terms = merchants.terms(
        {"EUR": "acc_1", "JPY": "acc_2"}, 140, ["0.05 EUR", "10 JPY"], return_fees=True
    )

    fees = {each.currency_code: each.fee_schedule for each in terms}
    assert (fees["EUR"].fixed_minor_units, fees["JPY"].fixed_minor_units) == (5, 10)
    assert {fee.basis_points for fee in fees.values()} == {140}


@pytest.mark.parametrize(("captured", "fee"), [(1_050, 20), (0, 0), (3, 3), (15_255, 219)])
def test_the_demo_reckons_fees_by_the_contract(captured: int, fee: int) -> None:
    assert demo_story.fee(captured, "EUR") == fee
