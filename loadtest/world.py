"""Who pays whom: the accounts and merchants that a load uses, in a file that workers read."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class World:
    """Accounts with money and merchants with a fee; the first of each are the busiest."""

    currency_code: str
    accounts: tuple[str, ...]
    merchants: tuple[str, ...]


def save(world: World, path: Path) -> None:
    path.write_text(json.dumps(asdict(world)))


def load(path: Path) -> World:
    """Read a file of `save`. Raises ValueError when it holds nobody who could pay or be paid."""
    content = json.loads(path.read_text())
    world = World(
        currency_code=content["currency_code"],
        accounts=tuple(content["accounts"]),
        merchants=tuple(content["merchants"]),
    )
    if not world.accounts or not world.merchants:
        raise ValueError(f"{path} names no account or no merchant")
    return world
