"""The compiled modules do what their source says, byte for byte."""

import json
import subprocess
import sys
from typing import Any, Final

import pytest

from kit import compiled
from scripts import compile as compiling
from tests.lane.harness import METHODS

SECONDS_MAX: Final = 60
IMPORT: Final = """
import importlib, json, sys
print(json.dumps([importlib.import_module(name).__file__ for name in sys.argv[1:]]))
"""


def _run(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=compiled.ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_same_commands_leave_the_same_bytes_compiled_and_plain() -> None:
    fast = _run("-m", "tests.compiled.seeded")
    plain = _run("-m", "tests.compiled.seeded", "--plain")

    assert fast.pop("compiled"), "nothing is compiled: this needs a C compiler and `make compile`"
    assert not plain.pop("compiled")
    assert fast == plain
    outcomes = fast["outcomes"]
    assert len({name.split()[0] for name in outcomes if name.endswith(" ok")}) == len(METHODS)
    assert sum(outcomes.values()) > 8_000
    assert outcomes["hold expired"] > 10
    assert outcomes["AUTHORIZE_PAYMENT declined"] > 100
    assert not any("INTERNAL" in name for name in outcomes)


def test_what_pyproject_names_is_what_runs_compiled() -> None:
    root = compiled.ROOT
    sources = compiling.modules(root, compiling.read_table(root))
    names = [".".join(one.with_suffix("").parts).removesuffix(".__init__") for one in sources]

    files = _run("-c", IMPORT, *names)

    assert files == [str(root / compiled.shared_object(source)) for source in sources]
    expected = {*map(compiled.shared_object, sources)}
    assert {path for path in compiled.found(root) if path.parent.name} == expected


def test_an_assertion_stays_and_its_traceback_names_the_line() -> None:
    from processor.domain import ids

    with pytest.raises(AssertionError) as caught:
        ids.encode(-1)

    last = caught.traceback[-1]
    text = (compiled.ROOT / "processor/domain/ids.py").read_text().splitlines()
    assert str(last.frame.code.raw.co_filename).endswith("processor/domain/ids.py")
    assert text[last.lineno].strip() == "assert 0 <= number < SERIAL_LIMIT"
