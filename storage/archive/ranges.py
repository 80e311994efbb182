"""A file of journal rows: what it is made of, and whether it is what it was. Pure.

MessagePack of a head and of rows. Bodies stay as the journal has them, compressed (decision record
0016), so that each row's hash is that of the chain.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from processor.domain.chain import chain
from storage.archive.ports import Damaged

FORM: Final = "tender-journal-1"


class Row(msgspec.Struct, array_like=True, frozen=True):
    """A row of the journal; `created_at` in µs since 1970."""

    seq: int
    epoch: int
    incarnation: str
    body: bytes
    hash: bytes
    created_at: int


class Range(msgspec.Struct, array_like=True, frozen=True):
    """Rows of one history that follow each other."""

    form: str
    shard: str
    previous_hash: bytes
    rows: tuple[Row, ...]

    @property
    def first_seq(self) -> int:
        """Number of the first row."""
        return self.rows[0].seq

    @property
    def last_seq(self) -> int:
        """Number of the last row."""
        return self.rows[-1].seq

    @property
    def name(self) -> str:
        """The file's: by the hash, two histories with the same numbers have different ones."""
        last = self.rows[-1].hash.hex()[:16]
        return f"{self.shard}/{self.first_seq:019d}-{self.last_seq:019d}-{last}.journal"


_decode: Final = msgspec.msgpack.Decoder(Range).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def encoded(one: Range) -> bytes:
    """Return the file of a range."""
    return _encode(one)


def digest(content: bytes) -> bytes:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(content).digest()


def decoded(name: str, content: bytes, sha256: bytes) -> Range:
    """Return the range of a file that has the digest that it had. Raises Damaged."""
    if digest(content) != sha256:
        raise Damaged(f"{name} is not what was written: its SHA-256 differs")
    try:
        found = _decode(content)
    except msgspec.MsgspecError:
        raise Damaged(f"{name} is no file of journal rows") from None
    if found.form != FORM or not found.rows:
        raise Damaged(f"{name} is of a form that is not known here")
    return found


def check(name: str, one: Range) -> None:
    """Walk the chain of a range. Raises Damaged naming the first row that is not right."""
    before = one.previous_hash
    for place, row in enumerate(one.rows):
        expected = chain(
            before,
            row.body,
            shard=one.shard,
            seq=row.seq,
            epoch=row.epoch,
            incarnation=row.incarnation,
            now=row.created_at,
        )
        if row.seq != one.first_seq + place or row.hash != expected:
            raise Damaged(f"{name}: row {row.seq} is not what the chain says")
        before = row.hash


def cut(rows: Sequence[Row], rows_max: int, bytes_max: int) -> Sequence[Row]:
    """Return the first rows that make one file: of one history, and of bounded size."""
    size = 0
    for place, row in enumerate(rows):
        size += len(row.body)
        is_other = row.incarnation != rows[0].incarnation
        if place and (is_other or place >= rows_max or size > bytes_max):
            return rows[:place]
    return rows
