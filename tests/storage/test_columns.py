"""A column of a batch reaches the server as it is, in whichever form it is sent."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from storage.postgres import columns
from tests.conftest import Shard

TEXTS: tuple[Sequence[str], ...] = (
    ("a",),
    ("",),
    ("", ""),
    ("", "a"),
    ("a", "a", "a"),
    ("a", "b", "a"),
    ("{a}", "{a}"),
    ("{a}", "b"),
    ("\x1ea", "\x1ea"),
    ("\x1ea", "b"),
    ("a\x1fb", "c"),
    ("a\x1fb", "a\x1fb"),
    ('"', "\\", "'", "NULL"),
    ("日本", "é"),
)
COLUMNS: dict[str, tuple[Sequence[Any], ...]] = {
    "t": TEXTS,
    "T": (
        *((None, *some) for some in TEXTS if "" not in some),
        *(some for some in TEXTS if "" not in some),
        (None, None),
        ("a", None, "a"),
    ),
    "i": ((0,), (5, 5), (-(2**62), 2**62), (7, 8, 7)),
    "I": ((None,), (None, None), (5, None, 5), (0, 0), (1, 2)),
    "n": ((1, 1), (1, 2, 1)),
    "b": ((True, True), (False, False), (True, False, True)),
    "y": ((b"",), (b"a", b"a"), (b"\x00", b"{", b"\x1e")),
}


async def test_a_column_arrives_as_it_was_sent(shard: Shard) -> None:
    connection = await asyncpg.connect(shard.owner_url)
    try:
        for letter, some in COLUMNS.items():
            read = columns.READ[letter].format(place="$1", rows="$2")
            for column in some:
                (sent,) = columns.laid_out([(one,) for one in column], letter)
                query = f"SELECT {read}, $2::integer"
                arrived = await connection.fetchval(query, sent, len(column))
                assert arrived == list(column), (letter, column, sent)
    finally:
        await connection.close()


def test_a_column_that_says_the_same_of_every_row_goes_once() -> None:
    rows = [("EUR", 1, None)] * 300

    assert [len(sent) for sent in columns.laid_out(rows, "tiT")] == [4, 1, 1]
