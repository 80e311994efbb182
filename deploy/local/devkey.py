"""Makes API keys for the embedded stack: `python -m deploy.local.devkey --help`."""

import argparse
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg

from deploy.local import database, folder
from kit import api_keys

SCOPES: Final = ("merchant", "service", "operator")
PEPPER_NAME: Final = "api_key_pepper"
KEY_NAME: Final = "dev_api_key"
_PEPPER_BYTES: Final = 32

INSERT = """
INSERT INTO api_keys (key_id, secret_hash, tenant_id, scopes, merchant_id, label)
VALUES ($1, $2, $3, $4, $5, $6)
"""
SELECT = """
SELECT secret_hash
FROM api_keys
WHERE key_id = $1 AND tenant_id = $2 AND revoked_at IS NULL
"""


def ensure(owner_dsn: str, secrets_dir: Path, tenant: str) -> str:
    """Return the development key of a tenant, made anew unless the kept one still works."""
    kept = _kept_key(secrets_dir / KEY_NAME)
    if kept is not None and _works(owner_dsn, secrets_dir, tenant, kept):
        return kept.text
    text = create(
        owner_dsn, secrets_dir, tenant=tenant, scopes=("service", "operator"), label="development"
    )
    folder.write_private(secrets_dir / KEY_NAME, text)
    return text


def create(
    owner_dsn: str,
    secrets_dir: Path,
    *,
    tenant: str,
    scopes: Sequence[str],
    merchant_id: str | None = None,
    label: str = "",
) -> str:
    """Make a key and return its text, which nobody can return a second time."""
    if ("merchant" in scopes) != (merchant_id is not None) or not set(scopes) <= set(SCOPES):
        raise ValueError("a merchant's key has the merchant scope and a merchant, others neither")
    key = api_keys.generate()
    stored_hash = api_keys.secret_hash(_pepper(secrets_dir), key.secret)
    record = (key.key_id, stored_hash, tenant, list(scopes), merchant_id, label)
    database.run_async(_insert(owner_dsn, record))
    return key.text


def _works(owner_dsn: str, secrets_dir: Path, tenant: str, key: api_keys.ApiKey) -> bool:
    stored_hash = database.run_async(_select(owner_dsn, key.key_id, tenant))
    return stored_hash is not None and api_keys.matches(
        _pepper(secrets_dir), key.secret, stored_hash
    )


def _kept_key(path: Path) -> api_keys.ApiKey | None:
    return api_keys.parse(path.read_text().strip()) if path.exists() else None


def _pepper(secrets_dir: Path) -> bytes:
    path = secrets_dir / PEPPER_NAME
    if not path.exists():
        folder.write_private(path, secrets.token_hex(_PEPPER_BYTES))
    return api_keys.pepper_from_hex(path.read_text().strip())


async def _insert(dsn: str, record: tuple[object, ...]) -> None:
    connection = await _connect(dsn)
    try:
        await connection.execute(INSERT, *record)
    finally:
        await connection.close()


async def _select(dsn: str, key_id: str, tenant: str) -> bytes | None:
    connection = await _connect(dsn)
    try:
        found: bytes | None = await connection.fetchval(SELECT, key_id, tenant)
    finally:
        await connection.close()
    return found


async def _connect(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        dsn,
        timeout=database.CONNECT_SECONDS_MAX,
        command_timeout=database.STATEMENT_SECONDS_MAX,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.devkey", description=__doc__)
    parser.add_argument("--dsn", required=True, help="database, as the owner of the schema")
    parser.add_argument("--secrets", required=True, type=Path, help="folder with api_key_pepper")
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--scope", action="append", required=True, choices=SCOPES)
    parser.add_argument("--merchant", help="the merchant that the key belongs to")
    parser.add_argument("--label", default="")
    given = parser.parse_args()
    text = create(
        given.dsn,
        given.secrets,
        tenant=given.tenant,
        scopes=given.scope,
        merchant_id=given.merchant,
        label=given.label,
    )
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
