"""Senders that are killed where it hurts: nothing is lost, and what is sent again is counted."""

import asyncio
import contextlib
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.notifications.contacts import Contact
from services.notifications.worker import BEFORE_SEND, FAIL_POINTS, RECORDED, SENT_UNRECORDED
from tests.consumers.conftest import eventually
from tests.services.notifications import makers
from tests.services.notifications.conftest import Desk, Office
from tests.services.notifications.mailbox import Mailbox

MESSAGES = 12
DIES_SECONDS_MAX = 60.0
LEASE_SECONDS = 1.5


@contextlib.asynccontextmanager
async def process(office: Office, mailbox: Mailbox, **told: Any) -> AsyncIterator[Any]:
    """Start a sender; end it with the block if it still lives."""
    usual = {
        "url": office.url,
        "port": mailbox.port,
        "point": "",
        "passes": 1,
        "at_a_time": 1,
        "lease_seconds": LEASE_SECONDS,
    }
    module = "tests.services.notifications.sender"
    one = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, json.dumps(usual | told), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield one
    finally:
        if one.returncode is None:
            one.kill()
        await one.wait()


@pytest.mark.parametrize(
    ("point", "at_a_time", "doubled_max"),
    [(BEFORE_SEND, 1, 0), (SENT_UNRECORDED, 1, 1), (RECORDED, 1, 0), (SENT_UNRECORDED, 4, 4)],
)
async def test_a_crash_loses_nothing_and_repeats_at_most_what_was_under_way(
    office: Office,
    desk: Desk,
    anna: Contact,
    mailbox: Mailbox,
    point: str,
    at_a_time: int,
    doubled_max: int,
) -> None:
    await desk.paid(*(makers.event(number) for number in range(MESSAGES)))
    async with process(office, mailbox, point=point, passes=4, at_a_time=at_a_time) as dying:
        died = await asyncio.wait_for(dying.wait(), DIES_SECONDS_MAX)

    async def all_sent() -> bool:
        return await office.states() == ["sent"] * MESSAGES

    async with process(office, mailbox, at_a_time=at_a_time):
        await eventually(all_sent, "e-mails")

    came = Counter(mailbox.ids)
    assert died == -signal.SIGKILL
    assert len(came) == MESSAGES
    assert max(came.values()) <= 2
    assert sum(came.values()) - MESSAGES <= doubled_max
    if point == SENT_UNRECORDED:
        assert sum(came.values()) > MESSAGES, "the point is where a message is sent again"


def test_every_fail_point_is_tried() -> None:
    assert set(FAIL_POINTS) == {BEFORE_SEND, SENT_UNRECORDED, RECORDED}
