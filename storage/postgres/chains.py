"""Lists that rows chain up by themselves: an account's transfers, a payer's payments.

Each row names the row before it in its list, and the account names the newest one, so that a list
costs no index. A walk begins at the newest row when `before` ($2) sorts above it, else at the row
before `before`, if that is of the list; each step is one look-up by primary key.
"""

from typing import Final

from processor.domain.payments import Payment
from processor.domain.transfers import Transfer
from storage.postgres import rows

SCAN_MAX: Final = 10_000
"""Rows that a page may look through where nothing leads to those that it shows: some 10 ms."""

BALANCE_STEPS_MAX: Final = 10_000
"""Marks lie 64 versions and at most one batch of commands apart, two transfers in each: some 700
steps; far beyond that a mark is missing, and no answer is better than a slow one."""

_TRANSFER_NAMES: Final = ", ".join(f"t.{name}" for name in Transfer._fields)
_PAYMENT_NAMES: Final = ", ".join(f"p.{name}" for name in Payment._fields)


def _previous(alias: str) -> str:
    """Return the SQL for the transfer before one in the list of account $1."""
    return (
        f"CASE WHEN {alias}.debit_account_id = $1"
        f" THEN {alias}.debit_previous_id ELSE {alias}.credit_previous_id END"
    )


TRANSFERS: Final = f"""
    WITH RECURSIVE start (id) AS (
        SELECT a.last_transfer_id
          FROM accounts AS a
         WHERE a.id = $1 AND a.last_transfer_id < $2
        UNION ALL
        SELECT {_previous("b")}
          FROM transfers AS b
         WHERE b.id = $2 AND $1 IN (b.debit_account_id, b.credit_account_id)
    ),
    walk AS (
        SELECT {_TRANSFER_NAMES}, 1 AS step
          FROM start
          JOIN transfers AS t ON t.id = start.id
        UNION ALL
        SELECT {_TRANSFER_NAMES}, w.step + 1
          FROM walk AS w
          JOIN transfers AS t ON t.id = {_previous("w")}
         WHERE w.step < $3
    )
    SELECT {rows.TRANSFER_COLUMNS}
      FROM walk
     ORDER BY step
"""
"""An account's newest $3 transfers."""

_PAYMENTS_START: Final = """
    start (id) AS (
        SELECT a.last_payment_id
          FROM accounts AS a
         WHERE a.id = $1 AND a.last_payment_id < $2
        UNION ALL
        SELECT b.payer_previous_id
          FROM payments AS b
         WHERE b.id = $2 AND b.payer_account_id = $1
    )
"""

PAYMENTS_BY_PAYER: Final = f"""
    WITH RECURSIVE {_PAYMENTS_START},
    walk AS (
        SELECT {_PAYMENT_NAMES}, 1 AS step
          FROM start
          JOIN payments AS p ON p.id = start.id
        UNION ALL
        SELECT {_PAYMENT_NAMES}, w.step + 1
          FROM walk AS w
          JOIN payments AS p ON p.id = w.payer_previous_id
         WHERE w.step < $3
    )
    SELECT {rows.PAYMENT_COLUMNS}
      FROM walk
     ORDER BY step
"""
"""A payer's newest $3 payments."""

PAYMENTS_BY_BOTH: Final = f"""
    WITH RECURSIVE {_PAYMENTS_START},
    walk AS (
        SELECT p.id, p.payer_previous_id, p.merchant_id = $4 AS fits,
               (p.merchant_id = $4)::integer AS found, 1 AS step
          FROM start
          JOIN payments AS p ON p.id = start.id
        UNION ALL
        SELECT p.id, p.payer_previous_id, p.merchant_id = $4,
               w.found + (p.merchant_id = $4)::integer, w.step + 1
          FROM walk AS w
          JOIN payments AS p ON p.id = w.payer_previous_id
         WHERE w.found < $3 AND w.step < {SCAN_MAX}
    )
    SELECT id, fits, step = {SCAN_MAX} AS is_end
      FROM walk
     WHERE fits OR step = {SCAN_MAX}
     ORDER BY step
"""
"""The ids of a payer's newest $3 payments to merchant $4, and where a bounded scan ended."""

BALANCE_AT: Final = f"""
    WITH RECURSIVE walk AS (
        SELECT t.created_at, {_previous("t")} AS previous_id, 1 AS step,
               CASE WHEN t.debit_account_id = $1
                    THEN t.debit_posted_after ELSE t.credit_posted_after END AS posted_after
          FROM transfers AS t
         WHERE t.id = coalesce(
                (SELECT m.transfer_id
                   FROM account_marks AS m
                   JOIN transfers AS x ON x.id = m.transfer_id
                  WHERE m.account_id = $1 AND m.transfer_id >= $2
                  ORDER BY m.transfer_id
                  LIMIT 1),
                (SELECT a.last_transfer_id FROM accounts AS a WHERE a.id = $1)
               )
        UNION ALL
        SELECT t.created_at, {_previous("t")}, w.step + 1,
               CASE WHEN t.debit_account_id = $1
                    THEN t.debit_posted_after ELSE t.credit_posted_after END
          FROM walk AS w
          JOIN transfers AS t ON t.id = w.previous_id
         WHERE w.created_at > $3 AND w.step < {BALANCE_STEPS_MAX}
    )
    SELECT CASE WHEN created_at <= $3 THEN posted_after ELSE 0 END AS posted,
           created_at <= $3 OR previous_id = '' AS has_arrived, step = {BALANCE_STEPS_MAX} AS is_cut
      FROM walk
     ORDER BY step DESC
     LIMIT 1
"""
"""Walks back to time $3 from the first mark after it ($2 sorts before every id of later), or from
the newest transfer; no row when there is none at all. A list may go on at another shard, where the
account came from: then the walk does not arrive."""
