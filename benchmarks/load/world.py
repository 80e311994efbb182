"""Who pays whom: the accounts and merchants that a load works on, as a folder of plain files."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

CURRENCY = "EUR"


@dataclass(frozen=True)
class Merchant:
    """A merchant and the account that its money goes to."""

    id: str
    account_id: str


@dataclass(frozen=True)
class Home:
    """A shard of several: how many of the payers, and of the merchants, are there."""

    shard: str
    payers: int
    merchants: int


@dataclass(frozen=True)
class World:
    """Payers by number (their ids, all of one length, one after the other) and merchants."""

    payers: bytes
    payer_id_bytes: int
    merchants: list[Merchant]
    funds: int
    """What each payer had at the start, in cents."""
    fee_basis_points: int
    fee_fixed: int
    homes: list[Home] = field(default_factory=list)
    """Of several shards, in the order in which payers and merchants stand; empty with one."""

    @property
    def payers_count(self) -> int:
        return len(self.payers) // self.payer_id_bytes

    def payer(self, number: int) -> str:
        """Return a payer's account id."""
        start = number * self.payer_id_bytes
        return self.payers[start : start + self.payer_id_bytes].decode()

    def save(self, folder: Path) -> None:
        """Write it down; `load` reads it again."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "payers").write_bytes(self.payers)
        content = {
            "payer_id_bytes": self.payer_id_bytes,
            "merchants": [asdict(merchant) for merchant in self.merchants],
            "funds": self.funds,
            "fee_basis_points": self.fee_basis_points,
            "fee_fixed": self.fee_fixed,
            "homes": [asdict(home) for home in self.homes],
        }
        # Last, so that its being there means that everything is.
        (folder / "world.json").write_text(json.dumps(content))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what was written by `save`."""
        content = json.loads((folder / "world.json").read_text())
        merchants = [Merchant(**one) for one in content.pop("merchants")]
        homes = [Home(**one) for one in content.pop("homes", ())]
        payers = (folder / "payers").read_bytes()
        return cls(payers=payers, merchants=merchants, homes=homes, **content)
