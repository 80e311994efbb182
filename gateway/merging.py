"""One page out of a page of each shard, and the token that holds a place in each shard's list.

Rows are merged by the time in their ids, newest first. The place in a shard's list is the id of its
last row that was handed out, so rows that come in between change nothing.
"""

import heapq
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from gateway.errors import Refused
from kit import page_tokens
from tender.v1 import account_pb2, lane_pb2, payment_pb2

SIZE_DEFAULT: Final = 50
_LIST: Final = "merged"
"""Tells a token of a merged list from one of a shard's own."""
_PLACE: Final = re.compile(r"\.?[A-Za-z0-9_.-]{1,256}")


class Kind(NamedTuple):
    """A list that every shard has a part of."""

    rows: str
    response: type[Any]
    filters: Callable[[Any], tuple[str, ...]]


KINDS: Final[dict[int, Kind]] = {
    lane_pb2.METHOD_LIST_PAYMENTS: Kind(
        "payments", payment_pb2.ListPaymentsResponse, lambda request: (request.merchant_id,)
    ),
    lane_pb2.METHOD_LIST_ACCOUNTS: Kind(
        "accounts", account_pb2.ListAccountsResponse, lambda request: (request.user_id,)
    ),
}

Places = Mapping[str, str | None]
"""By shard: the id below which its next rows are, or a dot and the token of its next page; empty at
the top, None past the end."""


class Merged(NamedTuple):
    """What is handed out, newest first, and where each shard's list goes on."""

    rows: Sequence[Any]
    places: Places


def merge(kind: Kind, pages: Mapping[str, Any], places: Places, size: int) -> Merged:
    """Return the page that one list of all shards would have; `pages` are the next of each shard.

    It ends early where a shard that has more has been handed out whole: its next rows may be newer
    than what the others still have.
    """
    rows = {shard: list(getattr(page, kind.rows)) for shard, page in pages.items()}
    more = {shard for shard, page in pages.items() if page.next_page_token}
    counts = dict.fromkeys(pages, 0)
    taken: list[Any] = []
    entries = ([(_rank(row.id), shard, row) for row in own] for shard, own in rows.items())
    for _, shard, row in heapq.merge(*entries, key=lambda entry: entry[:2]):
        if len(taken) == (size or SIZE_DEFAULT) or any(
            counts[one] == len(rows[one]) for one in more
        ):
            break
        counts[shard] += 1
        taken.append(row)
    after = dict(places)
    for shard, page in pages.items():
        if counts[shard] == len(rows[shard]):
            after[shard] = f".{page.next_page_token}" if page.next_page_token else None
        elif counts[shard]:
            after[shard] = rows[shard][counts[shard] - 1].id
    return Merged(taken, after)


def response(kind: Kind, pages: Mapping[str, Any], merged: Merged, filters: Sequence[str]) -> Any:
    """Return the public response with what was merged; it is complete up to every shard's token."""
    return kind.response(
        **{kind.rows: merged.rows},
        next_page_token=write_token(merged.places, filters),
        read_token=",".join(page.read_token for page in pages.values() if page.read_token),
        as_of=[each for page in pages.values() for each in page.as_of],
    )


def _rank(identifier: str) -> tuple[int, ...]:
    """Return what sorts as each shard's own list does, and by time between regions."""
    is_own = identifier.startswith("sys_")
    text = identifier if is_own else identifier.rpartition("_")[2]
    # The 1 puts a longer text before its beginning.
    return (not is_own, *(-ord(letter) for letter in text), 1)


def write_token(places: Places, filters: Sequence[str]) -> str:
    """Return the token of the next page; empty when every shard's list has ended."""
    if all(place is None for place in places.values()):
        return ""
    return page_tokens.write(msgspec.json.encode(places), (_LIST, *filters))


def read_token(page_token: str, filters: Sequence[str], shards: Sequence[str]) -> Places:
    """Return the place in the list of each of the shards; raises Refused.

    A shard that the token does not know has come since: its rows wait for the next reading from
    the top.
    """
    if not page_token:
        return dict.fromkeys(shards, "")
    try:
        content = page_tokens.read(page_token, (_LIST, *filters))
        places = msgspec.json.decode(content, type=dict[str, str | None])
    except (page_tokens.BadPageToken, msgspec.DecodeError):
        raise Refused("PAGE_TOKEN_INVALID") from None
    if any(place and not _PLACE.fullmatch(place) for place in places.values()):
        raise Refused("PAGE_TOKEN_INVALID")
    return {shard: places.get(shard) for shard in shards}
