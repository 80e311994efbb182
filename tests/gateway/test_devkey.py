"""Keys of the embedded stack, in a real database."""

from pathlib import Path

import asyncpg
import pytest

from deploy.local import devkey
from kit import api_keys
from tests.conftest import Shard
from tests.gateway import scripted

PEPPER_FILE = devkey.PEPPER_NAME


async def rows(shard: Shard) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(shard.owner_url)
    try:
        found: list[asyncpg.Record] = await connection.fetch(
            "SELECT key_id, secret_hash, tenant_id, scopes, merchant_id, label"
            " FROM api_keys WHERE tenant_id = 'acme'"
        )
    finally:
        await connection.close()
    return found


async def execute(shard: Shard, statement: str) -> None:
    connection = await asyncpg.connect(shard.owner_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_development_key_is_made_once_and_kept(shard: Shard, tmp_path: Path) -> None:
    first = devkey.ensure(shard.owner_url, tmp_path, "acme")
    second = devkey.ensure(shard.owner_url, tmp_path, "acme")

    (row,) = await rows(shard)
    key = api_keys.parse(first)
    assert first == second
    assert key is not None
    assert (row["key_id"], row["tenant_id"]) == (key.key_id, "acme")
    assert row["scopes"] == ["service", "operator"]
    pepper = bytes.fromhex((tmp_path / PEPPER_FILE).read_text())
    assert api_keys.matches(pepper, key.secret, row["secret_hash"])
    assert key.secret.encode() not in row["secret_hash"]
    for name in (PEPPER_FILE, devkey.KEY_NAME):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM api_keys", "UPDATE api_keys SET revoked_at = now()", "other tenant", "pepper"],
)
async def test_a_development_key_that_works_no_more_is_made_anew(
    shard: Shard, tmp_path: Path, statement: str
) -> None:
    first = devkey.ensure(shard.owner_url, tmp_path, "acme")
    tenant = "acme"
    match statement:
        case "other tenant":
            tenant = "globex"
        case "pepper":
            (tmp_path / PEPPER_FILE).write_text("ab" * 32)
        case _:
            await execute(shard, statement)

    assert devkey.ensure(shard.owner_url, tmp_path, tenant) != first


async def test_a_merchants_key_names_its_merchant(shard: Shard, tmp_path: Path) -> None:
    devkey.create(
        shard.owner_url,
        tmp_path,
        tenant="acme",
        scopes=["merchant"],
        merchant_id=scripted.MERCHANT,
        label="till",
    )

    (row,) = await rows(shard)
    assert (row["scopes"], row["merchant_id"]) == (["merchant"], scripted.MERCHANT)
    assert row["label"] == "till"


@pytest.mark.parametrize(
    ("scopes", "merchant_id"),
    [(["merchant"], None), (["service"], scripted.MERCHANT), (["root"], None)],
)
def test_a_key_that_makes_no_sense_is_not_made(
    scopes: list[str], merchant_id: str | None, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="merchant"):
        devkey.create(
            "postgresql://nowhere", tmp_path, tenant="a", scopes=scopes, merchant_id=merchant_id
        )
