"""A list over shards is what one list would be: nothing twice, nothing left out, newest first."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import merging
from gateway.errors import Refused
from tender.v1 import account_pb2, lane_pb2, payment_pb2

KIND = merging.KINDS[lane_pb2.METHOD_LIST_PAYMENTS]
FILTERS = ("acme", "", "mer_eu_1")


class Shard:
    """One shard's list, which gives pages as long as it likes, even empty ones."""

    def __init__(self, rows: list[str], lengths: list[int]) -> None:
        self.rows = rows
        self._lengths = lengths or [1]
        self._asked = 0

    def page(self, place: str, size: int) -> Any:
        """Return the page at a place: below an id, or where a page's token says."""
        start = int(place[2:]) if place.startswith(".") else self._index(place)
        self._asked += 1
        # Every other page may be short; after it comes one that is not empty.
        length = min(size, self._lengths[self._asked % len(self._lengths)])
        length = length if self._asked % 2 else max(length, 1)
        rows = self.rows[start : start + length]
        end = start + len(rows)
        return payment_pb2.ListPaymentsResponse(
            payments=[payment_pb2.Payment(id=row) for row in rows],
            next_page_token=f"t{end}" if end < len(self.rows) else "",
        )

    def _index(self, before: str) -> int:
        return self.rows.index(before) + 1 if before else 0


@st.composite
def shards(draw: st.DrawFn) -> dict[str, Shard]:
    numbers = draw(st.lists(st.integers(1, 10_000), unique=True, max_size=40))
    owners = [draw(st.sampled_from(["s1", "s2", "s3"])) for _ in numbers]
    found = {}
    for bucket, name in enumerate(("s1", "s2", "s3")):
        region = "us" if name == "s3" else "eu"
        own = [number for number, owner in zip(numbers, owners, strict=True) if owner == name]
        rows = [f"pay_{region}_{number:020d}0{bucket}" for number in sorted(own, reverse=True)]
        found[name] = Shard(rows, draw(st.lists(st.integers(0, 7), max_size=5)))
    return found


@given(shards(), st.integers(1, 9))
def test_pages_of_several_shards_make_one_list(found: dict[str, Shard], size: int) -> None:
    rows: list[str] = []
    token = ""
    for _ in range(1_000):
        places = merging.read_token(token, FILTERS, sorted(found))
        pages = {
            name: found[name].page(place, size)
            for name, place in places.items()
            if place is not None
        }
        merged = merging.merge(KIND, pages, places, size)
        page = merging.response(KIND, pages, merged, FILTERS)
        assert len(page.payments) <= size
        rows += [row.id for row in page.payments]
        token = page.next_page_token
        if not token:
            break
    else:
        pytest.fail("the list does not end")

    everything = [row for shard in found.values() for row in shard.rows]
    assert rows == sorted(everything, key=lambda row: row.rpartition("_")[2], reverse=True)


def test_the_tenant_s_own_accounts_come_in_the_order_of_their_shard() -> None:
    ids = ["sys_eu_s1_acme_world_EUR", "sys_eu_s1_acme_fees_USD", "sys_eu_s1_acme_fees_EUR"]
    ids += ["acc_eu_0000000000000000000201", "acc_eu_0000000000000000000101"]
    kind = merging.KINDS[lane_pb2.METHOD_LIST_ACCOUNTS]
    page = account_pb2.ListAccountsResponse(accounts=[account_pb2.Account(id=one) for one in ids])

    merged = merging.merge(kind, {"s1": page}, {"s1": ""}, 10)

    assert [row.id for row in merged.rows] == ids == sorted(ids, reverse=True)
    assert merged.places == {"s1": None}


@pytest.mark.parametrize("token", ["x", "AAAA", "\u00e9", "a" * 64, "=", "%"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(Refused) as refused:
        merging.read_token(token, FILTERS, ["s1"])
    assert refused.value.reason == "PAGE_TOKEN_INVALID"


def test_a_token_with_a_place_that_is_no_id_is_refused() -> None:
    token = merging.write_token({"s1": "x y"}, FILTERS)
    with pytest.raises(Refused):
        merging.read_token(token, FILTERS, ["s1"])
