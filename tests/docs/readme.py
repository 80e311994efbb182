"""The README's blocks, what they are to print, and what may differ between two runs."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent.parent.parent / "README.md"
SEPARATOR = "-- end of block --"

_BLOCK = re.compile(
    r"^<!-- (?P<how>run|run on shards) -->\n```sh\n(?P<shell>.*?)^```\n"
    r"(?:```(?P<kind>json|text)\n(?P<expected>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_PYTHON = re.compile(r"^```python\n(?P<code>.*?)^```\n", re.MULTILINE | re.DOTALL)
SHOWN_ADDRESS = "127.0.0.1:50051"
_ALIKE = (
    (re.compile(r"\b([a-z]{3})_[a-z0-9]{2,8}_[0-9a-hjkmnp-tv-z]{22}\b"), r"\1_ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b[a-z0-9-]+\.[0-9a-f]{12}\.\d+\b"), "TOKEN"),
    (re.compile(r'"asOf": \[.*?\]', re.DOTALL), '"asOf": []'),
)


@dataclass(frozen=True)
class Block:
    """A block that is run, and what the next one says that it prints."""

    shell: str
    kind: str
    expected: str


def blocks(text: str, how: str = "run") -> list[Block]:
    """Return the blocks that are run on one kind of stack."""
    return [
        Block(match["shell"], match["kind"] or "", match["expected"] or "")
        for match in _BLOCK.finditer(text)
        if match["how"] == how
    ]


def programs(text: str, address: str) -> list[str]:
    """Return the blocks of Python, with another gateway's address in place of the one shown."""
    return [match["code"].replace(SHOWN_ADDRESS, address) for match in _PYTHON.finditer(text)]


def script(of: list[Block]) -> str:
    """One script for all, since later blocks use the variables of earlier ones."""
    ended = f"printf '\\n{SEPARATOR}\\n'\n"
    return "set -eu\n" + "".join(block.shell + ended for block in of)


def outputs(printed: str) -> list[str]:
    return printed.split(f"\n{SEPARATOR}\n")[:-1]


def alike(text: str, kind: str) -> Any:
    """Return what is to be equal between the README and a run: ids, times and tokens are not."""
    for pattern, replacement in _ALIKE:
        text = pattern.sub(replacement, text)
    if kind == "json":
        return json.loads(text)
    return [line.split() for line in text.strip().splitlines()]
