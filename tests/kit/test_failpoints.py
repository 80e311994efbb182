"""Fail-points: inert unless a test arms one by a call."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from kit import failpoints

KILLED = """
from kit import failpoints
failpoints.arm("here", 2)
failpoints.reach("there")
failpoints.reach("here")
print("once", flush=True)
failpoints.reach("here")
print("twice", flush=True)
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def test_a_point_that_nobody_armed_does_nothing() -> None:
    failpoints.reach("consumers.committed")


def test_an_armed_point_kills_at_the_pass_that_was_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "once\n")


def test_a_pass_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="first time"):
        failpoints.arm("here", 0)
