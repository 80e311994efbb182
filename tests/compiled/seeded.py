"""Thousands of commands of every kind from a seed: `python -m tests.compiled.seeded [--plain]`.

Prints what a compiled and an uncompiled run must have alike: the hash of the chain, which covers
all that was written, a digest of every reply, and how many there were of each outcome.
"""

import asyncio
import collections
import hashlib
import json
import random
import sys
from typing import Any, Final

from tests.plugins import plain

if "--plain" in sys.argv:
    plain.use_sources()

import msgspec

from processor import translate
from processor.cache import Cache
from processor.domain import chain, commands, ids
from processor.domain.accounts import Account
from processor.domain.context import Context
from processor.domain.place import Place
from processor.entries import Entry, Reply
from processor.openbatch import OpenBatch
from processor.ports import Opened, Ownership
from processor.waiting import WaitingRoom
from processor.work import Decider
from storage.memory import Database, MemoryLaneStore
from storage.verify.journal import Body
from tender.v1 import lane_pb2
from tests.compiled.shoppers import Shoppers, Wish
from tests.lane.harness import METHODS

COMMANDS: Final = 8_000
OWNERSHIP: Final = Ownership("s1", 1, "seeded", "abcdef012345")
NOON_US: Final = 1_700_000_000_000_000
STEP_US: Final = 20_000_000
"""Between two batches, so that holds of a minute run out on the way."""


class Run:
    """A lane without its clock and its loops, over a shard in memory."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.shoppers = Shoppers(self.random)
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.replies = hashlib.sha256()
        self.now = NOON_US
        self.serial = 1
        self.database = Database(lambda: self.now)
        self.store = MemoryLaneStore(self.database, "s1")
        self.database.locked_by, self.database.ownership = self.store, OWNERSHIP
        self.opened = Opened(OWNERSHIP, 0, chain.GENESIS, self.now, 0)
        self.cache = Cache(200)  # Few, so that things are evicted and loaded again.
        place = Place("eu", "s1")
        self.room = WaitingRoom(
            self.cache, place, lambda: self.now, commands_max=10_000, bytes_max=1 << 30
        )
        self.decider = Decider(self.cache, self.room, place)

    async def batch(self, count: int) -> None:
        """Admit so many commands and decide until none is left."""
        self.now += STEP_US
        for _ in range(count):
            self._admit(self.shoppers.wish())
        self._admit_own()
        # Every key is looked up in every batch, or what was evicted would look new.
        self.room.load_keys_for(3_600)
        self.room.restart()
        while len(self.room):
            while self.room.wants_loads:
                items = self.room.wanted(1_000)
                self.room.loaded(items, await self.store.load(items))
            await self._decide()
        self.cache.evict(lambda: set(self.room.needed()))

    def _admit(self, wish: Wish) -> None:
        number, _ = METHODS[type(wish.request)]
        envelope = lane_pb2.Command(
            method=number,  # type: ignore[arg-type]
            request=wish.request.SerializeToString(deterministic=True),
            risk_verdict=lane_pb2.RISK_VERDICT_DENY if wish.denied else lane_pb2.RISK_VERDICT_ALLOW,
        )
        request, command, fingerprint = translate.translate(
            envelope, translate.principal(wish.principal)
        )
        name = lane_pb2.Method.Name(number).removeprefix("METHOD_")

        def note(reply: Reply) -> None:
            self.outcomes[f"{name} {reply.outcome}"] += 1
            self._note(reply)
            self.shoppers.learn(wish, reply.response)

        self.room.admit(
            Entry(
                command,
                note,
                method=number,
                method_name=name,
                request=request,
                fingerprint=fingerprint,
                size=len(envelope.request),
            )
        )

    def _admit_own(self) -> None:
        """Do what a lane's housekeeping does, now and then."""
        holders = tuple(sorted(self.database.accounts))
        if holders and self.random.random() < 0.1:
            chosen = tuple(self.random.sample(holders, min(3, len(holders))))
            self.room.admit(Entry(commands.ExpireHolds(chosen), self._note))
        if self.database.keys and self.random.random() < 0.1:
            old = tuple(list(self.database.keys)[:2])
            self.room.admit(Entry(commands.DeleteRequestKeys(old), self._note))

    async def _decide(self) -> None:
        context = Context(self.now, "eu", "s1", ids.Mint("eu", self.now, self.serial))
        head = self.database.journal[-1].hash if self.database.journal else chain.GENESIS
        seq = len(self.database.journal) + 1
        batch = OpenBatch(self.cache, context, self.opened, seq)
        entries = self.room.take(50, 1 << 20)
        if not self.decider.decide(entries, batch, expiring=True, monotonic_now=0.0):
            self.room.restart()
        self.serial = context.mint.serial
        self.outcomes["hold expired"] += batch.holds_expired
        if batch.writes:
            await self.store.apply(OWNERSHIP, batch.seal(head))
        for entry, reply in batch.replies:
            self.room.leave(entry)
            entry.reply(reply)

    def _note(self, reply: Reply) -> None:
        said = [reply.reason, reply.message, sorted(reply.metadata.items()), reply.replayed]
        self.replies.update(repr((reply.response, said, reply.declined)).encode())


def _shape(of: Any) -> Any:
    """Return a schema without docstrings, which compiled classes do not all have."""
    if isinstance(of, dict):
        return {key: _shape(value) for key, value in of.items() if key != "description"}
    return [_shape(one) for one in of] if isinstance(of, list) else of


async def main(seed: int) -> dict[str, Any]:
    """Run from a seed; return what is to be compared."""
    run = Run(seed)
    done = 0
    while done < COMMANDS:
        count = run.random.randint(1, 80)
        await run.batch(count)
        done += count
    journal = run.database.journal
    return {
        "compiled": str(sys.modules["processor.work"].__file__).endswith(".so"),
        "hash": journal[-1].hash.hex(),
        "bodies": hashlib.sha256(repr([one.body for one in journal]).encode()).hexdigest(),
        "replies": run.replies.hexdigest(),
        "outcomes": dict(sorted(run.outcomes.items())),
        "read_as": [_shape(msgspec.json.schema(kind)) for kind in (Body, Account)],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(seed=7))))
