"""A primary dies or hangs: a standby takes over, and the old one comes back as its copy."""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import tender
from deploy.local import database, processes
from deploy.local.roles import Roles
from deploy.local.stack import Stack, StackOptions
from tests.local.test_stack import fetch

PROMOTION_SECONDS_MAX = 30.0
"""Three times what is promised, for a machine that does other things too."""
WAIT_SECONDS_MAX = 60.0
"""For a server to be copied anew, on such a machine."""
IN_RECOVERY = "SELECT pg_is_in_recovery()"
# A copy that is being made streams too.
STREAMING = """
SELECT count(*) FROM pg_stat_replication
WHERE state = 'streaming' AND application_name <> 'pg_basebackup'
"""


class Shop:
    """Callers that pay a little all the time, repeating what had no answer, and remember it all."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        key = stack.endpoints.api_key_file.read_text().strip()
        self.client = tender.SyncClient(stack.endpoints.gateway, key)
        wallet = self.client.create_account(
            user_id="shop", currency_code="EUR", kind=tender.Account.KIND_MERCHANT_WALLET
        )
        terms = tender.SettlementTerms(currency_code="EUR", account_id=wallet.account.id)
        shop = self.client.create_merchant(
            reference="shop", display_name="Shop", settlement_terms=[terms]
        )
        self.shop_id = shop.merchant.id
        self.ada_id = self.client.create_account(user_id="ada", currency_code="EUR").account.id
        self.client.create_transfer(
            source_account_id="world",
            destination_account_id=self.ada_id,
            amount=tender.money("EUR", 10_000_000),
        )
        self.acknowledged: dict[str, str] = {}
        self.answered_at: list[float] = []
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._number = 0

    @contextlib.contextmanager
    def open(self, callers: int = 4) -> Iterator[None]:
        self._stopping.clear()
        self._threads = [threading.Thread(target=self._keep_paying) for _ in range(callers)]
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join()

    def pay(self, request_id: str) -> None:
        answer = self.client.authorize_payment(
            request_id=request_id,
            payer_account_id=self.ada_id,
            merchant_id=self.shop_id,
            amount=tender.money("EUR", 1),
            timeout=2.0,
        )
        self.acknowledged[request_id] = answer.payment.id
        self.answered_at.append(time.monotonic())

    def _keep_paying(self) -> None:
        while not self._stopping.is_set():
            self._number += 1
            request_id = f"{threading.get_ident()}-{self._number}"
            while not self._stopping.is_set():
                try:
                    self.pay(request_id)
                    break
                except tender.TenderError:
                    time.sleep(0.05)

    def await_answers(self, count: int = 20) -> None:
        begun = len(self.answered_at)
        eventually(lambda: len(self.answered_at) >= begun + count, "answers")

    def missing(self) -> set[tuple[str, str]]:
        """Acknowledged requests that the shard does not have."""
        stored = rows(
            self.stack.endpoints.owner_url, "SELECT request_id, resource_id FROM requests"
        )
        return set(self.acknowledged.items()) - {(row[0], row[1]) for row in stored}


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_SECONDS_MAX:g} s"
        time.sleep(0.05)


def rows(dsn: str, query: str) -> list[Any]:
    async def work() -> list[Any]:
        connection = await asyncpg.connect(dsn)
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    return database.run_async(work())


def options(folder: Path, **more: Any) -> StackOptions:
    return StackOptions(folder, replicas=2, **more)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(options(tmp_path_factory.mktemp("failover"), failover=True), print) as running:
        running.supervise_in_background()
        yield running


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Shop:
    return Shop(stack)


def primary_of(stack: Stack) -> str:
    return Roles(stack.options.data_dir.resolve(), stack.options).primary(0)


def await_promotion(stack: Stack, old: str) -> float:
    began = time.monotonic()
    eventually(lambda: primary_of(stack) != old, "a promotion")
    eventually(lambda: takes_writes(stack), "a primary")
    return time.monotonic() - began


def takes_writes(stack: Stack) -> bool:
    try:
        return not fetch(stack.endpoints.owner_url, IN_RECOVERY)
    except (OSError, asyncpg.PostgresError):
        return False


def await_whole(stack: Stack) -> None:
    """Wait until the old primary is back, as a standby, beside the others."""
    eventually(lambda: fetch(stack.endpoints.owner_url, STREAMING) == 2, "two standbys")


def epoch(stack: Stack) -> tuple[int, str]:
    [row] = rows(stack.endpoints.owner_url, "SELECT epoch, incarnation FROM lanes")
    return row["epoch"], row["incarnation"]


def test_a_killed_primary_is_replaced_and_comes_back_as_a_standby(stack: Stack, shop: Shop) -> None:
    old, before = primary_of(stack), epoch(stack)

    with shop.open():
        shop.await_answers()
        stack.kill(old)
        seconds = await_promotion(stack, old)
        shop.await_answers()

    assert seconds < PROMOTION_SECONDS_MAX
    after = epoch(stack)
    assert after[0] > before[0]
    assert after[1] != before[1]
    await_whole(stack)
    assert stack.alive()[old]


def test_a_primary_that_hangs_is_fenced_before_another_is_promoted(
    stack: Stack, shop: Shop
) -> None:
    await_whole(stack)
    old = primary_of(stack)
    family = processes.identify(processes.family(stack.child(old).pid))

    with shop.open():
        shop.await_answers()
        stack.kill(old, signal.SIGSTOP)
        seconds = await_promotion(stack, old)
        # Nobody is left who could go on with what it was paused in.
        assert not any(each.is_alive() for each in family)
        processes.send(family, signal.SIGCONT)
        shop.await_answers()

    assert seconds < PROMOTION_SECONDS_MAX
    await_whole(stack)


def test_what_asynchronous_standbys_never_got_is_reported(stack: Stack, shop: Shop) -> None:
    await_whole(stack)
    old = primary_of(stack)
    standbys = [name for name in ("postgres", "replica1", "replica2") if name != old]
    with shop.open():
        shop.await_answers()
    shop.acknowledged.clear()
    earlier = set(stack.options.data_dir.glob("lost-s1-*.json"))
    senders = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication"
    for name in standbys:
        stack.kill(name, signal.SIGSTOP)
    rows(stack.endpoints.owner_url, senders)
    for number in range(30):
        shop.pay(f"lost-{number}")
    told = dict(shop.acknowledged)

    stack.kill(old, stay_down=True)
    for name in standbys:
        stack.kill(name, signal.SIGCONT)
    await_promotion(stack, old)

    lost = shop.missing()
    [path] = set(stack.options.data_dir.glob("lost-s1-*.json")) - earlier
    report = json.loads(path.read_text())
    reported = {(each["request_id"], each["resource_id"]) for each in report["requests"]}
    assert lost
    assert lost <= set(told.items())
    assert reported == lost
    assert report["lost_to_seq"] - report["kept_seq"] == len(lost)
    with shop.open():
        shop.await_answers()
    stack.start_one(old)
    await_whole(stack)
    assert list(stack.options.data_dir.glob(f"{old}.lost-*"))


def test_the_roles_are_remembered_over_a_restart(tmp_path: Path) -> None:
    given = options(tmp_path, failover=True, with_servers=False)
    with Stack(given) as stack:
        fetch(stack.endpoints.owner_url, "CREATE TABLE marks AS SELECT 1 AS n")
        eventually(lambda: fetch(stack.endpoints.owner_url, STREAMING) == 2, "two standbys")
        stack.kill("postgres", stay_down=True)
        await_promotion(stack, "postgres")
        fetch(stack.endpoints.owner_url, "CREATE TABLE more_marks AS SELECT 2 AS n")
        chosen = primary_of(stack)

    with Stack(given) as stack:
        assert primary_of(stack) == chosen
        assert fetch(stack.endpoints.owner_url, "SELECT n FROM more_marks") == 2
        eventually(lambda: fetch(stack.endpoints.owner_url, STREAMING) == 2, "two standbys")
        for url in stack.endpoints.replica_urls:
            owner = database.at(stack.endpoints.owner_url, database.where(url))
            assert fetch(owner, IN_RECOVERY)


def test_a_primary_that_is_stopped_on_purpose_is_left_alone(tmp_path: Path) -> None:
    given = options(tmp_path, failover=True, with_servers=False, migrations=None)
    with Stack(given) as stack:
        stack.stop_one("postgres")
        time.sleep(1.5)

        assert primary_of(stack) == "postgres"
        stack.start_one("postgres")
        assert not fetch(stack.endpoints.owner_url, IN_RECOVERY)
