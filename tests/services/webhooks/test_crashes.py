"""Workers that die where it hurts: nothing is lost, and each death repeats one delivery at most."""

import asyncio
import signal
import sys
from collections import Counter

from services.webhooks import turns
from services.webhooks.sending import Sender
from tests.services.webhooks.conftest import LIMITS as LIMITS
from tests.services.webhooks.conftest import Office, ended, event, running, worker_of
from tests.services.webhooks.receiver import receiving, status

KEY = "one:" + "11" * 32
DEATHS = [(point, passes) for point in turns.FAIL_POINTS for passes in (1, 4)]
SECONDS_MAX = 60.0


async def test_a_death_repeats_one_delivery_at_most_and_loses_none(
    office: Office, sender: Sender
) -> None:
    async with receiving(lambda _: status(200)) as receiver:
        endpoint = await office.add(receiver.url)
        await office.happen(*(event(number) for number in range(40)))
        for point, passes in DEATHS:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.services.webhooks.dying"),
                *(office.url, KEY, f"{point}:{passes}"),
            )
            code = await asyncio.wait_for(process.wait(), SECONDS_MAX)
            assert code == -signal.SIGKILL
        async with running(worker_of(office, sender)):
            await ended(office, endpoint, 40)

    first_seen = list(dict.fromkeys(receiver.event_ids))
    repeats = Counter(receiver.event_ids)
    assert first_seen == [f"s1.abc.{number}.0" for number in range(40)]
    deaths_after_sending = sum(point == turns.SENT for point, _ in DEATHS)
    assert sum(repeats.values()) - len(repeats) == deaths_after_sending
    assert await office.states(endpoint) == ["delivered"] * 40
