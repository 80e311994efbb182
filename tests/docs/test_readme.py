"""The README does what it says, when run against a real stack exactly as printed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.stack import Stack, StackOptions
from kit import settings
from tests.docs import readme

ROOT = readme.PATH.parent
TEXT = readme.PATH.read_text()
BLOCKS = readme.blocks(TEXT)
RUN_SECONDS_MAX = 60.0
NUMBERS = range(len(BLOCKS))
FIRST_CALL = next(block for block in BLOCKS if block.shell.startswith("buf curl"))


@pytest.fixture(scope="session")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What the README's blocks print, on a stack like the one that `make up` starts."""
    with Stack(StackOptions(data_dir=Path(tmp_path_factory.mktemp("readme")))) as stack:
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
        yield readme.outputs(done.stdout)


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
