"""Whose answers are shown to whom, and what a lost answer may be called; found by the mutants."""

import asyncio

from processor.ports import Ambiguous, Batch, LaneStorage, Opened, Ownership
from tender.v1 import account_pb2, lane_pb2
from tests.lane.conftest import running
from tests.lane.faulty import FaultyStore
from tests.lane.harness import Caller, authorize, unique

STRANGER = lane_pb2.Principal(tenant_id="other", operator=True)
LATE_SECONDS = 0.4


async def test_a_stored_answer_is_not_shown_to_another_merchant(caller: Caller) -> None:
    payer = await caller.account("alice", 1_000)
    cafe, bar = await caller.merchant("cafe"), await caller.merchant("bar")
    request = authorize(payer, cafe, 100)
    await caller.ask(request, lane_pb2.Principal(tenant_id="dev", merchant_id=cafe))

    reason = await caller.refused(request, lane_pb2.Principal(tenant_id="dev", merchant_id=bar))

    assert reason == "MERCHANT_UNKNOWN"


async def test_a_request_id_belongs_to_its_tenant(caller: Caller) -> None:
    request = account_pb2.CreateAccountRequest(
        request_id=unique(), user_id="alice", currency_code="EUR"
    )

    ours = await caller.ask(request)
    theirs = await caller.ask(request, STRANGER)

    assert theirs.account.id != ours.account.id


class LateStore(FaultyStore):
    """A shard whose connection breaks while a batch is committing; the batch commits later."""

    def __init__(self, store: LaneStorage) -> None:
        super().__init__(store)
        self.breaks = False
        self._committing: asyncio.Task[None] | None = None

    async def apply(self, ownership: Ownership, batch: Batch) -> None:
        if not self.breaks:
            await super().apply(ownership, batch)
            return
        self.breaks = False
        self._committing = asyncio.create_task(self._commit_late(ownership, batch))
        raise Ambiguous("the connection broke")

    async def open(self, owner: str, *, evict: bool) -> Opened:
        # Raising the epoch waits for the statement of the old session.
        if self._committing is not None:
            await self._committing
            self._committing = None
        return await super().open(owner, evict=evict)

    async def _commit_late(self, ownership: Ownership, batch: Batch) -> None:
        await asyncio.sleep(LATE_SECONDS)
        await super().apply(ownership, batch)


async def test_what_commits_after_it_seemed_lost_is_never_called_undone(
    storage: LaneStorage,
) -> None:
    store = LateStore(storage)
    async with running(store) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")

        store.breaks = True
        reply = await caller.send(authorize(payer, merchant, 100), timeout_seconds=LATE_SECONDS / 2)

        assert (reply.reason, reply.replayed) == ("", True)
