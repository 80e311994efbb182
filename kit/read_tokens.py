"""Read tokens: they name a commit of a shard, so that a reader finds at least what a writer saw."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

TOKENS_MAX: Final = 256
"""In one text: a merged list has one of every shard."""

FORM: Final = r"[a-z0-9-]{1,16}\.[a-z0-9]{1,32}\.[1-9][0-9]{0,17}"
_TOKEN: Final = re.compile(FORM, re.ASCII)


class ReadToken(NamedTuple):
    """The commit `seq` of a shard, in the history that its incarnation names."""

    shard: str
    incarnation: str
    seq: int

    def __str__(self) -> str:
        return f"{self.shard}.{self.incarnation}.{self.seq}"


def parse(text: str) -> Sequence[ReadToken]:
    """Return the tokens of a text, which has commas between them; raises ValueError."""
    parts = text.split(",") if text else []
    if len(parts) > TOKENS_MAX or not all(map(_TOKEN.fullmatch, parts)):
        raise ValueError("not read tokens")
    return [ReadToken(shard, name, int(seq)) for shard, name, seq in (p.split(".") for p in parts)]


def of_shard(tokens: Sequence[ReadToken], shard: str) -> ReadToken | None:
    """Return a shard's token, the highest if there are several; None if there is none."""
    own = [token for token in tokens if token.shard == shard]
    return max(own, key=lambda token: token.seq, default=None)
