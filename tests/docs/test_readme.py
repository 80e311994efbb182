"""The README does what it says, when run against a real stack exactly as printed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tender
from deploy.local.stack import Stack, StackOptions
from kit import settings
from tender import commands
from tender.examples import setting
from tests.docs import readme

ROOT = readme.PATH.parent
TEXT = readme.PATH.read_text()
BLOCKS = readme.blocks(TEXT)
RUN_SECONDS_MAX = 60.0
NUMBERS = range(len(BLOCKS))
FIRST_CALL = next(block for block in BLOCKS if block.shell.startswith("buf curl"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack like the one that `make up` starts."""
    with Stack(StackOptions(data_dir=Path(tmp_path_factory.mktemp("readme")))) as stack:
        yield stack


@pytest.fixture(scope="session")
def printed(stack: Stack) -> list[str]:
    """What the README's shell blocks print."""
    endpoints = stack.endpoints
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ADDRESS": endpoints.gateway,
        "KEY": endpoints.api_key_file.read_text().strip(),
        "TENDER_DATA_DIR": str(stack.options.data_dir),
        "COLUMNS": "200",
    }
    done = subprocess.run(
        ["sh"],
        # The first call of buf curl comes once more at the end, as a repeated request.
        input=readme.script([*BLOCKS, FIRST_CALL]),
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return readme.outputs(done.stdout)


def test_the_blocks_of_python_do_what_they_say(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run in their order, as one program, with what the text around them takes as given."""
    endpoints = stack.endpoints
    api_key = endpoints.api_key_file.read_text().strip()
    with tender.SyncClient(endpoints.gateway, api_key) as client:
        shop = setting.open_shop(client, tender.money("EUR", 5_000))
        payers = [
            setting.open_customer(client, f"payer-{number}", tender.money("EUR", 1_000))
            for number in range(3)
        ]
    price = tender.money("EUR", 420)
    coming = [
        commands.authorize(payer_account_id=each, merchant_id=shop.merchant_id, amount=price)
        for each in (*payers, shop.customer_account_id)
    ]
    given = {
        "api_key": api_key,
        "payer": shop.customer_account_id,
        "merchant": shop.merchant_id,
        "payers": payers,
        "price": price,
        "commands_as_they_come": iter(coming),
    }
    programs = readme.programs(TEXT, endpoints.gateway)
    assert len(programs) == TEXT.count("```python") == 2

    for program in programs:
        exec(compile(program, "README.md", "exec"), given)

    first, *rest = capsys.readouterr().out.splitlines()
    paid = str(tender.Payment.STATE_CAPTURED)
    assert re.fullmatch(rf"pay_eu_\w{{22}} {paid}", first)
    many = [line for line in rest if re.fullmatch(rf"\S+ {paid}", line)]
    assert rest[: len(payers)] == many
    text = "\n".join(rest[len(payers) :])
    assert [text.count(str(call.request_id)) for call in coming] == [1] * len(coming)
    assert text.count("STATE_CAPTURED") == len(coming)


def test_every_block_of_buf_curl_is_run() -> None:
    shown = TEXT.count("buf curl --protocol")

    assert shown == sum(block.shell.count("buf curl --protocol") for block in BLOCKS) > 0


@pytest.mark.parametrize("number", [n for n in NUMBERS if BLOCKS[n].kind])
def test_a_block_prints_what_the_readme_says(number: int, printed: list[str]) -> None:
    block = BLOCKS[number]

    assert readme.alike(printed[number], block.kind) == readme.alike(block.expected, block.kind)


def test_the_same_call_again_prints_the_same_to_the_letter(printed: list[str]) -> None:
    assert printed[-1] == printed[BLOCKS.index(FIRST_CALL)]


def test_the_settings_are_those_of_the_code() -> None:
    match = re.search(r"<!-- settings: .*? -->\n(.*?)<!-- /settings -->", TEXT, re.DOTALL)

    assert match is not None
    assert match[1] == settings.markdown_table()
