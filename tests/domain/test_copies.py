"""Which rows of a copy are kept, how far a copy is, and which shard decides a leg."""

import pytest

from processor.cache import Cache
from processor.domain import copies, ids
from processor.domain.copies import CopiedKey, Page, reaches, written
from processor.domain.legs import Kind, Leg
from processor.domain.ownership import NOWHERE
from processor.domain.place import Place
from processor.domain.rules.moves import WAITS, decided_by, may_decide
from processor.domain.view import TOMBSTONE, Key, Position

HERE, THERE, NOBODY = "0a", "0b", "0c"
HOMES = {f"eu/{HERE}": "s1", f"eu/{THERE}": "s2", f"eu/{NOBODY}": NOWHERE}
PLACE = Place("eu", "s1", HOMES)
AT = Position("s2", "abc", 7, "")


def key(request_id: str, resource_id: str, **fields: object) -> Key:
    found = Key("dev", request_id, "AUTHORIZE_PAYMENT", b"f", b"o", resource_id)
    return found._replace(**fields)  # type: ignore[arg-type]


def page(*keys: Key, after: Position | None = None, bucket: str = f"eu/{THERE}") -> Page:
    return Page(bucket, after, AT, (), (), (), tuple(CopiedKey(one, 5) for one in keys))


def shard_with(*keys: Key) -> Cache:
    shard = Cache(100)
    for one in keys:
        shard.put_key(one)
    return shard


def leg(kind: Kind, **fields: object) -> Leg:
    found = Leg("s3", "s1", 1, kind, 100, "dev", f"acc_eu_x{THERE}", payment_id=f"pay_eu_x{THERE}")
    return found._replace(**fields)  # type: ignore[arg-type]


def test_a_key_that_is_here_already_is_not_written_again() -> None:
    one = key("r", f"pay_eu_x{THERE}")

    taken = copies.take(shard_with(one), PLACE, page(one))

    assert taken is not None
    assert (taken.keys, taken.outdated_keys) == ((), ())


def test_a_copy_that_is_outdated_is_replaced() -> None:
    before = key("r", f"acc_eu_x{THERE} mer_eu_y{HERE}", method=TOMBSTONE)
    after = key("r", f"pay_eu_x{THERE}")

    taken = copies.take(shard_with(before), PLACE, page(after))

    assert taken is not None
    assert [one.key for one in taken.keys] == [after]
    assert taken.outdated_keys == (("dev", "r"),)


@pytest.mark.parametrize("resource", [f"pay_eu_x{HERE}", ""])
def test_what_the_shard_answered_itself_stays(resource: str) -> None:
    taken = copies.take(shard_with(key("r", resource)), PLACE, page(key("r", f"pay_eu_x{THERE}")))

    assert taken is not None
    assert (taken.keys, taken.outdated_keys) == ((), ())


def test_pages_for_the_shard_s_own_bucket_and_out_of_turn_are_left() -> None:
    shard = shard_with()

    assert copies.take(shard, PLACE, page(bucket=f"eu/{HERE}")) is None
    assert copies.take(shard, PLACE, page(after=AT)) is None
    shard.put_position(f"eu/{THERE}", AT)
    assert copies.take(shard, PLACE, page(after=AT)) is not None


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (None, False),
        (AT, True),
        (AT._replace(seq=8, incarnation="later"), True),
        (AT._replace(seq=6), False),
        (AT._replace(incarnation="lost"), False),
        (AT._replace(place='["payments",""]'), False),
        (AT._replace(source="s3"), False),
    ],
)
def test_a_copy_reaches_a_commit_of_its_source_alone(
    known: Position | None, expected: bool
) -> None:
    assert reaches(known, "s2", written(AT)) is expected


@pytest.mark.parametrize("kind", [Kind.CAPTURE, Kind.TRANSFER, Kind.REFUND_DEBIT])
def test_a_leg_for_an_account_is_decided_where_the_account_is(kind: Kind) -> None:
    found = [
        decided_by(leg(kind, account_id=f"acc_eu_x{bucket}"), PLACE)
        for bucket in (HERE, THERE, NOBODY)
    ]

    assert found == ["s1", "s2", WAITS]


@pytest.mark.parametrize("kind", [Kind.REFUND_CREDIT, Kind.REFUND_FAILED])
def test_an_answer_to_a_refund_is_decided_where_the_payment_is(kind: Kind) -> None:
    found = [
        decided_by(leg(kind, payment_id=f"pay_eu_x{bucket}"), PLACE)
        for bucket in (HERE, THERE, NOBODY)
    ]

    assert found == ["s1", "s2", WAITS]


@pytest.mark.parametrize("kind", [Kind.SUSPENSE, Kind.MERCHANT, Kind.ACCOUNT, Kind.BUCKETS])
def test_other_legs_are_for_the_shard_that_they_came_to(kind: Kind) -> None:
    assert decided_by(leg(kind), PLACE) == "s1"


def test_what_has_no_bucket_is_decided_here() -> None:
    own = ids.system_account("eu", "s2", "dev", "FEES", "EUR")

    assert decided_by(leg(Kind.TRANSFER, account_id=own), PLACE) == "s1"
    assert decided_by(leg(Kind.TRANSFER, account_id="nonsense"), PLACE) == "s1"


def test_an_account_comes_after_its_copies_and_in_its_time() -> None:
    shard = shard_with()
    account = leg(Kind.ACCOUNT, source="s2", copied=written(AT), created_at=5_100)

    assert not may_decide(account, shard, PLACE, 6_000)
    shard.put_position(f"eu/{THERE}", AT)
    assert may_decide(account, shard, PLACE, 6_000)
    # Ids of one millisecond sort by their serial numbers, which two lanes count for themselves.
    assert not may_decide(account, shard, PLACE, 5_999)
