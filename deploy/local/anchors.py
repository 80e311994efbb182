"""Journal heads kept outside the database: the last one verified shows a later truncation."""

import re
from pathlib import Path

import typer

from deploy.local import folder
from storage.verify import Anchor, Head

_FORM = re.compile(r"(?P<seq>[1-9][0-9]{0,18}):(?P<hash>[0-9a-f]{64})")


def parse(text: str) -> Anchor:
    """Return the anchor that `SEQ:HASH` names."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not SEQ:HASH with 64 hexadecimal digits")
    return Anchor(int(found["seq"]), bytes.fromhex(found["hash"]))


def kept(data_dir: Path) -> list[Anchor]:
    """Return the head that the last clean verification of this folder's stack saw."""
    path = _path(data_dir)
    return [parse(path.read_text())] if path.exists() else []


def keep(data_dir: Path, head: Head) -> None:
    """Remember a verified head; an empty journal has none."""
    if head.seq:
        folder.write_private(_path(data_dir), f"{head.seq}:{head.hash}\n")


def _path(data_dir: Path) -> Path:
    return data_dir / "anchor"
