"""`tender operations`: submit a command and look at it, from a terminal."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from deploy.local import cli
from tests.intake.conftest import Office


def run(office: Office, *arguments: str) -> Result:
    env = {"TENDER_DATA_DIR": str(office.stack.options.data_dir)}
    return CliRunner(env=env).invoke(cli.app, ["operations", *arguments])


def shown(office: Office, *arguments: str) -> dict[str, Any]:
    result = run(office, *arguments, "--json")
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(result.stdout)
    return content["operation"]  # type: ignore[no-any-return]


async def test_a_payment_and_its_refund_are_submitted_and_shown(office: Office) -> None:
    shop = office.shop
    paid = shown(office, "submit", "3 EUR", "--from", shop.customers[0], "--to", shop.merchant_id)
    done = shown(office, "show", paid["id"], "--wait")
    payment = done["outcome"]["authorized"]["payment"]["id"]
    back = shown(office, "submit", "1 EUR", "--refund", payment)
    text = run(office, "show", back["id"], "--wait")

    assert paid["state"] == "STATE_PENDING"
    assert done["state"] == "STATE_DONE"
    assert "RefundPayment" in text.stdout
    assert text.exit_code == 0


async def test_it_says_what_is_missing_and_what_is_not_there(office: Office) -> None:
    nothing = run(office, "submit", "3 EUR")
    both = run(office, "submit", "3 EUR", "--void", "pay_x", "--refund", "pay_y")
    unknown = run(office, "show", "op_nothing")

    assert (nothing.exit_code, both.exit_code) == (2, 2)
    assert unknown.exit_code != 0
    assert "OPERATION_UNKNOWN" in unknown.output
