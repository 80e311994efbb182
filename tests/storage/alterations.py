"""What a superuser might alter in a shard, and how verify must name it."""

import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg

from tests.conftest import Shard


class Alteration(NamedTuple):
    """What a superuser does; RETURNING gives the id that a breach must name."""

    sql: str
    names: tuple[str, ...]
    only: int = 0
    """The most breaches it may cause; 0 when consequences are many."""


ONE = "(SELECT id FROM {} ORDER BY id LIMIT 1 OFFSET 4)"
ONE_KEY = "(SELECT request_id FROM requests WHERE request_id LIKE 'automatic%')"
BYTE = "journal SET body = set_byte(body, {0}, get_byte(body, {0}) # 1)"
LAST = "octet_length(body) - 1"

ALTERATIONS = {
    "a transfer's amount": Alteration(
        "UPDATE transfers SET amount = amount + 1 "
        f"WHERE id = {ONE.format('transfers')} RETURNING id",
        ("transfers id={}: amount is",),
    ),
    "a transfer's description": Alteration(
        f"UPDATE transfers SET description = 'x' WHERE id = {ONE.format('transfers')} RETURNING id",
        ("transfers id={}: description is 'x', expected ''",),
        only=1,
    ),
    "a transfer's balance": Alteration(
        "UPDATE transfers SET debit_posted_after = debit_posted_after - 3 "
        f"WHERE id = {ONE.format('transfers')} RETURNING id",
        ("transfers id={}: debit_posted_after is",),
    ),
    "the transfer before a transfer, of the account that it debits": Alteration(
        "UPDATE transfers SET debit_previous_id = credit_previous_id || 'x'"
        f" WHERE id = {ONE.format('transfers')} RETURNING id",
        (
            "transfers id={}: debit_previous_id is",
            "(the account's transfer before)",
            "(record in the journal)",
        ),
        only=2,
    ),
    "the transfer before a transfer, of the account that it credits": Alteration(
        "UPDATE transfers SET credit_previous_id = ''"
        f" WHERE id = {ONE.format('transfers')} RETURNING id",
        (
            "transfers id={}: credit_previous_id is '', expected",
            "(the account's transfer before)",
            "(record in the journal)",
        ),
        only=2,
    ),
    "a mark of another account": Alteration(
        "UPDATE account_marks AS m SET transfer_id ="
        " (SELECT max(t.id) FROM transfers AS t"
        "   WHERE m.account_id NOT IN (t.debit_account_id, t.credit_account_id))"
        " RETURNING account_id",
        ("account_marks account_id={} transfer_id=", "is not a transfer of the account"),
    ),
    "a mark that leads nowhere": Alteration(
        "INSERT INTO account_marks SELECT id, 'trf_eu_0' FROM accounts WHERE user_id = 'alice'"
        " RETURNING account_id",
        ("account_marks account_id={} transfer_id=trf_eu_0: is not a transfer of the account",),
        only=1,
    ),
    "an account's newest transfer": Alteration(
        "UPDATE accounts SET last_transfer_id = '' WHERE user_id = 'alice' RETURNING id",
        (
            "accounts id={}: last_transfer_id is '', expected",
            "(its newest transfer)",
            "(newest image in the journal)",
        ),
        only=2,
    ),
    "an account's newest payment": Alteration(
        "UPDATE accounts SET last_payment_id = (SELECT min(id) FROM payments)"
        " WHERE user_id = 'alice' RETURNING id",
        (
            "accounts id={}: last_payment_id is",
            "(its newest payment)",
            "(newest image in the journal)",
        ),
        only=2,
    ),
    "the payment before a payment": Alteration(
        "UPDATE payments SET payer_previous_id = '' WHERE amount = 50 RETURNING id",
        (
            "payments id={}: payer_previous_id is '', expected",
            "(the payer's payment before)",
            "(newest image in the journal)",
        ),
        only=2,
    ),
    "a deleted transfer": Alteration(
        f"DELETE FROM transfers WHERE id = {ONE.format('transfers')} RETURNING id",
        ("transfers id={}: is missing (journal seq=",),
    ),
    "an invented transfer": Alteration(
        "INSERT INTO transfers SELECT 'trf_eu_0', debit_account_id, credit_account_id, 1, currency,"
        " 'TOP_UP', NULL, NULL, '', 0, 0, 1, created_at, '', '' FROM transfers LIMIT 1"
        " RETURNING id",
        ("transfers id={}: is in the table with seq 1, but not in the journal",),
    ),
    "an account's posted": Alteration(
        "UPDATE accounts SET posted = posted + 7 WHERE user_id = 'alice' RETURNING id",
        ("accounts id={}: posted is", "accounts of tenant_id=dev currency=EUR: sum of posted is 7"),
        only=3,
    ),
    "an account's held": Alteration(
        "UPDATE accounts SET held = held - 1 WHERE user_id = 'alice' RETURNING id",
        ("accounts id={}: held is 1099, expected 1100 (sum of capturable of its payments)",),
        only=2,
    ),
    "an account's floor": Alteration(
        "UPDATE accounts SET floor = NULL WHERE user_id = 'alice' RETURNING id",
        ("accounts id={}: floor is None, expected 0",),
        only=2,
    ),
    "an account's state": Alteration(
        "UPDATE accounts SET state = 'OPEN' WHERE user_id = 'frozen' RETURNING id",
        ("accounts id={}: state is 'OPEN', expected 'FROZEN'",),
        only=1,
    ),
    "invented buckets": Alteration(
        "INSERT INTO lane_buckets VALUES ('s1', 'eu', 1, '[]') RETURNING shard",
        ("lane_buckets shard={}: row is", "expected None (newest in the journal)"),
        only=1,
    ),
    "a deleted account": Alteration(
        "DELETE FROM accounts WHERE user_id = 'frozen' RETURNING id",
        ("accounts id={}: is missing",),
    ),
    "an invented account": Alteration(
        "INSERT INTO accounts SELECT 'acc_eu_0', tenant_id, '', kind, currency, state, 0, 0, 0, 1,"
        " created_at, updated_at, '', '' FROM accounts WHERE user_id = 'alice' RETURNING id",
        ("accounts id={}: is in the table, but not in the journal",),
        only=1,
    ),
    "a payment's state": Alteration(
        "UPDATE payments SET state = 'AUTHORIZED' WHERE amount = 50 RETURNING id",
        ("payments id={}: state is 'AUTHORIZED', expected 'VOIDED'",),
        only=3,
    ),
    "a payment's state and version": Alteration(
        "UPDATE payments SET state = 'AUTHORIZED', version = version - 1"
        " WHERE amount = 50 RETURNING id",
        ("payments id={}: state is 'AUTHORIZED', expected 'VOIDED'", "version is 1, expected 2"),
    ),
    "a payment's version": Alteration(
        "UPDATE payments SET version = version + 1 WHERE amount = 50 RETURNING id",
        ("payments id={}: version is 3, expected 2 (newest image in the journal)",),
        only=1,
    ),
    "a payment's capturable": Alteration(
        "UPDATE payments SET capturable = capturable - 1 WHERE amount = 700 RETURNING id",
        ("payments id={}: capturable is 699, expected 700",),
    ),
    "a payment's refunded": Alteration(
        "UPDATE payments SET refunded = refunded - 1 WHERE refunded = 700 RETURNING id",
        (
            "payments id={}: refunded is 699, expected 700 (sum of its REFUND transfers)",
            "payments id={}: refunded is 699, expected 700 (sum of its SUCCEEDED refunds)",
            "payments id={}: refunded is 699, expected 700 (newest image",
        ),
        only=3,
    ),
    "a payment's fee": Alteration(
        "UPDATE payments SET fee = fee - 1 WHERE amount = 1000 RETURNING id",
        ("payments id={}: fee is 24, expected 25 (sum of its FEE transfers)",),
        only=3,
    ),
    "a payment's expiry": Alteration(
        "UPDATE payments SET hold_expires_at = hold_expires_at + interval '1 microsecond'"
        " WHERE amount = 700 RETURNING id",
        ("payments id={}: hold_expires_at is",),
        only=1,
    ),
    "a deleted payment": Alteration(
        "DELETE FROM payments WHERE amount = 50 RETURNING id",
        (
            "payments id={}: is missing, expected version 1 (journal seq=",
            "payer_previous_id is '{}', expected",
        ),
        only=2,
    ),
    "an invented payment": Alteration(
        "INSERT INTO payments SELECT 'pay_eu_0', tenant_id, merchant_id, payer_account_id,"
        " settlement_account_id, state, capture_method, decline_reason, currency, amount,"
        " captured, capturable, refunded, refund_pending, fee, fee_refunded, fee_basis_points,"
        " fee_fixed, fee_refund_policy, hold_expires_at, description, metadata, version,"
        " created_at, updated_at, payer_previous_id FROM payments WHERE amount = 50 RETURNING id",
        (
            "payments id={}: version 2 is in the table, but not in the journal",
            "payer_previous_id is '', expected '{}' (the payer's payment before)",
        ),
        only=3,
    ),
    "a refund's amount": Alteration(
        "UPDATE refunds SET amount = amount + 1 WHERE amount = 300 RETURNING id",
        ("refunds id={}: amount is 301, expected 300",),
        only=2,
    ),
    "a deleted refund": Alteration(
        "DELETE FROM refunds WHERE amount = 300 RETURNING id",
        ("refunds id={}: is missing (journal seq=",),
    ),
    "a merchant's fee": Alteration(
        "UPDATE merchants SET settlement_terms = replace(settlement_terms, '150', '50')"
        " RETURNING id",
        ("merchants id={}: settlement_terms is",),
        only=1,
    ),
    "a merchant's state": Alteration(
        "UPDATE merchants SET state = 'SUSPENDED' RETURNING id",
        ("merchants id={}: state is 'SUSPENDED', expected 'ACTIVE'",),
        only=1,
    ),
    "a request key's fingerprint": Alteration(
        "UPDATE requests SET fingerprint = set_byte(fingerprint, 3, get_byte(fingerprint, 3) # 1)"
        f" WHERE request_id = {ONE_KEY} RETURNING request_id",
        ("requests tenant_id=dev request_id='{}': fingerprint is",),
        only=1,
    ),
    "a request key's outcome": Alteration(
        "UPDATE requests SET outcome = set_byte(outcome, 9, get_byte(outcome, 9) # 1)"
        f" WHERE request_id = {ONE_KEY} RETURNING request_id",
        ("requests tenant_id=dev request_id='{}': digest of outcome is",),
        only=1,
    ),
    "a request key's age": Alteration(
        "UPDATE requests SET created_at = created_at - interval '30 days'"
        f" WHERE request_id = {ONE_KEY} RETURNING request_id",
        ("requests tenant_id=dev request_id='{}': created_at is",),
        only=1,
    ),
    "a deleted request key": Alteration(
        f"DELETE FROM requests WHERE request_id = {ONE_KEY} RETURNING request_id",
        ("requests tenant_id=dev request_id='{}': is missing (journal seq=",),
        only=1,
    ),
    "a deleted tombstone": Alteration(
        "DELETE FROM requests WHERE method = 'TOMBSTONE' RETURNING request_id",
        ("requests tenant_id=dev request_id='{}': is missing (journal seq=",),
        only=1,
    ),
    "an invented request key": Alteration(
        "INSERT INTO requests SELECT tenant_id, 'invented', method, fingerprint, outcome,"
        f" resource_id, seq, created_at FROM requests WHERE request_id = {ONE_KEY}"
        " RETURNING request_id",
        ("requests tenant_id=dev request_id='{}': is in the table with seq",),
        only=1,
    ),
    "a byte of a journal body": Alteration(
        f"UPDATE {BYTE.format(LAST)} WHERE seq = 1 RETURNING seq",
        ("journal seq={}: hash is", "the next row confirms the stored hash, so body"),
    ),
    "a byte that breaks a journal body": Alteration(
        f"UPDATE {BYTE.format('0')} WHERE seq = 5 RETURNING seq",
        ("journal seq={}: body cannot be read", "journal seq={}: hash is"),
    ),
    "a journal hash": Alteration(
        "UPDATE journal SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1)"
        " WHERE seq = 5 RETURNING seq",
        ("journal seq={}: hash is", "so the hash was altered"),
        only=1,
    ),
    "the newest journal hash": Alteration(
        "UPDATE journal SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1)"
        " WHERE seq = (SELECT max(seq) FROM journal) RETURNING seq",
        ("journal seq={}: hash is",),
        only=1,
    ),
    "a journal link": Alteration(
        "UPDATE journal SET previous_hash = set_byte(previous_hash, 0,"
        " get_byte(previous_hash, 0) # 1) WHERE seq = 5 RETURNING seq",
        ("journal seq={}: previous_hash is",),
        only=1,
    ),
    "a journal time": Alteration(
        "UPDATE journal SET created_at = created_at - interval '1 hour'"
        " WHERE seq = 5 RETURNING seq",
        ("journal seq={}: hash is", "journal seq={}: created_at is"),
    ),
    "a journal epoch": Alteration(
        "UPDATE journal SET epoch = epoch + 1 WHERE seq = 5 RETURNING seq",
        ("journal seq={}: hash is", "journal seq=6: epoch is 1, expected 2 or more"),
    ),
    "a deleted journal row": Alteration(
        "DELETE FROM journal WHERE seq = 5 RETURNING seq",
        ("journal seq={}: is missing",),
    ),
    "the last journal row deleted": Alteration(
        "DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal) RETURNING seq",
        ("is in the table with seq {}, but not in the journal",),
    ),
}


@contextlib.asynccontextmanager
async def altered(shard: Shard, table: str, sql: str) -> AsyncIterator[None]:
    """Alter a table as a superuser can, and put it back."""
    connection = await asyncpg.connect(shard.owner_url)
    try:
        await connection.execute(f"CREATE TABLE kept AS TABLE {table}")
        await connection.execute(sql)
        try:
            yield
        finally:
            await connection.execute(f"TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept")
            await connection.execute("DROP TABLE kept")
    finally:
        await connection.close()
