"""Journal heads kept outside the database: the last one verified shows a later truncation."""

import re
from pathlib import Path

import typer

from deploy.local import folder
from storage.verify import Anchor, Head

_FORM = re.compile(
    r"((?P<shard>[a-z0-9-]{1,16}):)?(?P<seq>[1-9][0-9]{0,18}):(?P<hash>[0-9a-f]{64})"
)


def parse(text: str) -> tuple[str, Anchor]:
    """Return the shard and the anchor that `SHARD:SEQ:HASH` names; SHARD may be left out."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is not SEQ:HASH or SHARD:SEQ:HASH with 64 hexadecimal digits"
        )
    return found["shard"] or "", Anchor(int(found["seq"]), bytes.fromhex(found["hash"]))


def kept(data_dir: Path, shard: str = "") -> list[Anchor]:
    """Return the head that the last clean verification of this folder's stack saw.

    `shard` is one of several; empty means the stack's only one.
    """
    path = _path(data_dir, shard)
    return [parse(path.read_text())[1]] if path.exists() else []


def keep(data_dir: Path, head: Head, shard: str = "") -> None:
    """Remember a verified head; an empty journal has none."""
    if head.seq:
        folder.write_private(_path(data_dir, shard), f"{head.seq}:{head.hash}\n")


def _path(data_dir: Path, shard: str) -> Path:
    return data_dir / (f"anchor-{shard}" if shard else "anchor")
