"""A lane tells its witness what it acknowledged, and hears it before it opens again."""

from structlog.testing import capture_logs

from processor.ports import LaneStorage
from processor.witness import NoWitness
from tests.lane.conftest import running
from tests.lane.harness import Caller


class Memory(NoWitness):
    """A witness that forgets nothing and is never away."""

    def __init__(self) -> None:
        self.head: tuple[int, bytes] | None = None
        self.incarnations: list[str] = []

    async def last(self) -> tuple[int, bytes] | None:
        return self.head

    def keep(self, incarnation: str, head: tuple[int, bytes]) -> None:
        self.incarnations.append(incarnation)
        self.head = head

    def note(self, head: tuple[int, bytes]) -> None:
        self.head = head


async def test_a_lane_finds_what_it_acknowledged_and_says_nothing(storage: LaneStorage) -> None:
    witness = Memory()
    with capture_logs() as events:
        async with running(storage, witness=witness) as lane:
            await Caller(lane).account("ada")
            committed = lane.committed_seq
            assert witness.head is not None
            assert witness.head[0] == committed
        async with running(storage, owner="another", witness=witness) as lane:
            assert lane.committed_seq == committed

    assert len(set(witness.incarnations)) == 2
    assert "history_lost" not in [event["event"] for event in events]


async def test_a_lane_whose_journal_has_less_says_so_before_it_opens(storage: LaneStorage) -> None:
    witness = Memory()
    async with running(storage, witness=witness) as lane:
        await Caller(lane).account("ada")
        committed = lane.committed_seq
    witness.head = (committed + 4, b"x" * 32)

    with capture_logs() as events:
        async with running(storage, owner="another", witness=witness):
            pass

    names = [event["event"] for event in events]
    assert names.index("history_lost") < names.index("lane_opened")
    [lost] = [event for event in events if event["event"] == "history_lost"]
    assert (lost["kept_seq"], lost["commits_at_least"]) == (committed, 4)


async def test_a_lane_with_another_history_says_so(storage: LaneStorage) -> None:
    witness = Memory()
    async with running(storage, witness=witness) as lane:
        await Caller(lane).account("ada")
        committed = lane.committed_seq
    witness.head = (committed, b"x" * 32)

    with capture_logs() as events:
        async with running(storage, owner="another", witness=witness):
            pass

    assert "history_lost" in [event["event"] for event in events]
