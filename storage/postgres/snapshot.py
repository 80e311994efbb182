"""What a reader sees of one commit; the statements behind every public read.

Every list walks downwards from an id (keyset), along an index or along the chain that its rows make
(`chains`), so a page costs its own rows and no more.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final, TypeVar

import msgspec

from kit.read_tokens import ReadToken
from processor.domain import ids, refusals
from processor.domain.accounts import Account
from processor.domain.merchants import Merchant
from processor.domain.ownership import Buckets
from processor.domain.payments import Payment, Refund
from processor.domain.reads import MoneySent, Page, Row, StoredRequest
from processor.domain.transfers import Transfer
from storage.postgres import chains, rows
from storage.postgres.chains import SCAN_MAX
from storage.postgres.columns import instant

REFUNDS_MAX: Final = 100
"""Refunds shown with a payment, as the contract says."""

LEGS_MAX: Final = 100
"""Legs shown with a payment, as the contract says."""

Listed = TypeVar("Listed", Account, Payment)

_PAYMENT_NAMES: Final = ", ".join(Payment._fields)
_ACCOUNT_NAMES: Final = ", ".join(Account._fields)
_REFUND_NAMES: Final = ", ".join(f"r.{name}" for name in Refund._fields)

_decode_refunds: Final = msgspec.json.Decoder(list[Refund]).decode
_decode_legs: Final = msgspec.json.Decoder(list[MoneySent]).decode


class Standing(Enum):
    """Where a token's commit is, seen from a history."""

    REACHED = auto()
    BEYOND = auto()
    ELSEWHERE = auto()


class PostgresSnapshot:
    """The shard as of one commit."""

    def __init__(self, connection: Any, shard: str) -> None:
        self._connection = connection
        self._shard = shard
        self._newest: ReadToken | None = None
        self._buckets: Buckets | None = None
        # What was found with a payment.
        self._with_payment: dict[str, tuple[Sequence[Refund], Sequence[MoneySent]]] = {}

    HEAD = """
        SELECT j.incarnation, j.seq, b.region, b.version, b.ranges
          FROM (SELECT incarnation, seq FROM journal ORDER BY seq DESC LIMIT 1) AS j
          LEFT JOIN lane_buckets AS b ON b.shard = $1
    """

    async def head(self) -> str:
        """Return the read token of the newest commit seen; empty before the first."""
        newest = await self.newest()
        return str(newest) if newest.seq else ""

    async def newest(self) -> ReadToken:
        """Return the newest commit seen, number 0 before the first."""
        if self._newest is None:
            row = await self._connection.fetchrow(self.HEAD, self._shard) or ("", 0, None)
            if row[2] is not None:
                self._buckets = rows.buckets_of(*row[2:])
            self._newest = ReadToken(self._shard, *row[:2])
        return self._newest

    async def is_here(self, identifier: str) -> bool:
        """Say whether the shard answers for what an id names.

        What has moved away leaves its rows behind, and what is to come sends its own ahead.
        """
        await self.newest()
        return self._buckets is None or self._buckets.has(ids.home_of_id(identifier))

    async def _require_here(self, identifier: str) -> None:
        if not await self.is_here(identifier):
            assert self._buckets is not None
            home = ids.home_of_id(identifier)
            raise refusals.BucketElsewhere(bucket=home, shard=self._buckets.shard_of(home))

    async def _only_here(self, page: Page[Listed]) -> Page[Listed]:
        """Leave out of a page what is other shards'; it may be shorter then than it could be."""
        await self.newest()
        if self._buckets is None or self._buckets.has_all:
            return page
        return page._replace(rows=[one for one in page.rows if await self.is_here(one.id)])

    COPIED_FROM = "SELECT bucket FROM bucket_copies WHERE source = $1"

    async def has_taken_from(self, shard: str) -> bool:
        """Say whether a bucket came here from a shard, with all that it had committed till then."""
        found = await self._connection.fetch(self.COPIED_FROM, shard)
        await self.newest()
        return any(self._buckets is None or self._buckets.has(row["bucket"]) for row in found)

    # A row that is archived is known by its range, which is of one history.
    INCARNATION = """
        SELECT incarnation FROM journal WHERE seq = $1
        UNION ALL
        SELECT incarnation FROM journal_ranges
         WHERE first_seq = (SELECT max(first_seq) FROM journal_ranges WHERE first_seq <= $1)
               AND last_seq >= $1
         LIMIT 1
    """

    async def standing(self, token: ReadToken) -> Standing:
        """Say whether this history has the commit that a token names."""
        if (await self.newest()).seq < token.seq:
            return Standing.BEYOND
        incarnation = await self._connection.fetchval(self.INCARNATION, token.seq)
        return Standing.REACHED if incarnation == token.incarnation else Standing.ELSEWHERE

    OWNER = "SELECT incarnation FROM lanes WHERE shard = $1"

    async def is_current(self, token: ReadToken) -> bool:
        """Say whether a token's incarnation is that of the lane now."""
        return bool(await self._connection.fetchval(self.OWNER, self._shard) == token.incarnation)

    async def payment(self, payment_id: str) -> Payment | None:
        """Return a payment; its refunds and legs are found by the same statement.

        Raises BucketElsewhere.
        """
        await self._require_here(payment_id)
        row = await self._connection.fetchrow(self.PAYMENT, payment_id, REFUNDS_MAX, LEGS_MAX)
        if row is None:
            return None
        *columns, refunds, legs = row
        self._with_payment[payment_id] = (
            _decode_refunds(refunds) if refunds else (),
            _decode_legs(legs) if legs else (),
        )
        return Payment(*columns)

    PAYMENT_BY_REQUEST = f"""
        SELECT {rows.PAYMENT_COLUMNS}
          FROM payments
         WHERE id = (
                SELECT resource_id
                  FROM requests
                 WHERE tenant_id = $1 AND request_id = $2 AND method = 'AUTHORIZE_PAYMENT'
               )
    """

    async def payment_by_request(self, tenant_id: str, request_id: str) -> Payment | None:
        """Return the payment that a tenant's request_id authorized."""
        row = await self._connection.fetchrow(self.PAYMENT_BY_REQUEST, tenant_id, request_id)
        return rows.payment(row) if row and await self.is_here(row["id"]) else None

    REQUEST = f"""
        SELECT method, fingerprint, outcome, resource_id, {rows.micros("created_at")}
          FROM requests
         WHERE tenant_id = $1 AND request_id = $2
    """

    async def request(self, tenant_id: str, request_id: str) -> StoredRequest | None:
        """Return what is stored of a tenant's request_id."""
        row = await self._connection.fetchrow(self.REQUEST, tenant_id, request_id)
        if row is None:
            return None
        found = StoredRequest(*row)
        # A tombstone leads to the payer first.
        is_here = await self.is_here(found.resource_id.partition(" ")[0])
        return found if is_here else None

    REFUNDS = f"""
        SELECT {rows.REFUND_COLUMNS}
          FROM refunds
         WHERE payment_id = $1
         ORDER BY id
         LIMIT $2
    """

    async def refunds_of(self, payment_id: str) -> Sequence[Refund]:
        """Return the oldest refunds of a payment, oldest first."""
        if payment_id in self._with_payment:
            return self._with_payment[payment_id][0]
        found = await self._connection.fetch(self.REFUNDS, payment_id, REFUNDS_MAX)
        return [rows.refund(row) for row in found]

    # Walks legs_sent_payment_idx and legs_moved_payment_idx. What was sent before the payment came
    # is carried by whoever sent it, and counts as taken.
    LEGS = """
        SELECT convert_from(l.body, 'UTF8') AS text, l.is_taken, l.state <> '' AS is_suspended
          FROM (SELECT s.body, s.number <= coalesce(a.number, 0) AS is_taken, s.state,
                       s.created_at, s.number
                  FROM legs_sent AS s
                  LEFT JOIN legs_acknowledged AS a ON a.destination = s.destination
                 WHERE s.payment_id = $1 AND s.payment_id <> '' AND s.transfer_id <> ''
                UNION ALL
                SELECT m.body, TRUE, m.state, m.created_at, m.number
                  FROM legs_moved AS m
                 WHERE m.payment_id = $1) AS l
         ORDER BY l.created_at, l.number
         LIMIT $2
    """

    async def legs_of(self, payment_id: str) -> Sequence[MoneySent]:
        """Return the oldest legs of a payment, oldest first."""
        if payment_id in self._with_payment:
            return self._with_payment[payment_id][1]
        found = await self._connection.fetch(self.LEGS, payment_id, LEGS_MAX)
        return [MoneySent(*row) for row in found]

    PAYMENT = f"""
        SELECT {rows.PAYMENT_COLUMNS},
               (SELECT json_agg(json_build_array({_REFUND_NAMES}))::text
                  FROM ({REFUNDS.replace("$1", "p.id")}) AS r) AS refunds,
               (SELECT json_agg(json_build_array(text, is_taken, is_suspended))::text
                  FROM ({LEGS.replace("$1", "p.id").replace("$2", "$3")}) AS g) AS legs
          FROM payments AS p
         WHERE p.id = $1
    """

    async def list_payments(
        self, tenant_id: str, merchant_id: str, payer_account_id: str, before: str, limit: int
    ) -> Page[Payment]:
        """Return a tenant's payments with ids below one, newest first; empty is no filter."""
        if merchant_id and payer_account_id:
            return await self._payments_by_both(merchant_id, payer_account_id, before, limit)
        if merchant_id:
            return await self._payments_by(self.BY_MERCHANT, merchant_id, before, limit)
        if payer_account_id:
            return await self._payments_by(
                chains.PAYMENTS_BY_PAYER, payer_account_id, before, limit
            )
        return await self._payments_by_tenant(tenant_id, before, limit)

    # Walks payments_merchant_idx.
    BY_MERCHANT = f"""
        SELECT {rows.PAYMENT_COLUMNS}
          FROM payments
         WHERE merchant_id = $1 AND id < $2
         ORDER BY id DESC
         LIMIT $3
    """

    async def _payments_by(self, sql: str, whose: str, before: str, limit: int) -> Page[Payment]:
        found = await self._connection.fetch(sql, whose, before, limit + 1)
        return await self._only_here(_page([rows.payment(row) for row in found], limit))

    PAYMENTS = f"""
        SELECT {rows.PAYMENT_COLUMNS}
          FROM payments
         WHERE id = ANY($1::text[])
         ORDER BY id DESC
    """

    async def _payments_by_both(
        self, merchant_id: str, payer_account_id: str, before: str, limit: int
    ) -> Page[Payment]:
        walked = await self._connection.fetch(
            chains.PAYMENTS_BY_BOTH, payer_account_id, before, limit + 1, merchant_id
        )
        found = [row["id"] for row in walked if row["fits"]]
        shown = await self._connection.fetch(self.PAYMENTS, found[:limit])
        next_before = ""
        if len(found) > limit:
            next_before = found[limit - 1]
        elif walked and walked[-1]["is_end"]:
            next_before = walked[-1]["id"]
        return Page([rows.payment(row) for row in shown], next_before)

    # Walks payments_pkey, at most SCAN_MAX rows of it.
    PAYMENTS_BY_TENANT = f"""
        SELECT {rows.PAYMENT_COLUMNS}
          FROM (
                SELECT {_PAYMENT_NAMES}
                  FROM payments
                 WHERE id < $1
                 ORDER BY id DESC
                 LIMIT {SCAN_MAX}
               ) AS scanned
         WHERE tenant_id = $2
         ORDER BY id DESC
         LIMIT $3
    """
    PAYMENTS_END = f"""
        SELECT id FROM payments WHERE id < $1 ORDER BY id DESC OFFSET {SCAN_MAX - 1} LIMIT 1
    """

    async def _payments_by_tenant(self, tenant_id: str, before: str, limit: int) -> Page[Payment]:
        found = await self._connection.fetch(self.PAYMENTS_BY_TENANT, before, tenant_id, limit + 1)
        page = await self._only_here(_page([rows.payment(row) for row in found], limit))
        return await self._to_end_of_scan(page, self.PAYMENTS_END, before)

    ACCOUNT = f"SELECT {rows.ACCOUNT_COLUMNS} FROM accounts WHERE id = $1"

    async def account(self, account_id: str) -> Account | None:
        """Return an account. Raises BucketElsewhere."""
        await self._require_here(account_id)
        row = await self._connection.fetchrow(self.ACCOUNT, account_id)
        return rows.account(row) if row else None

    ACCOUNTS = f"""
        SELECT {rows.ACCOUNT_COLUMNS}
          FROM accounts
         WHERE id = ANY($1::text[])
         ORDER BY id DESC
    """

    async def accounts(self, account_ids: Sequence[str]) -> Sequence[Account]:
        """Return those of the accounts that exist, newest first."""
        found = await self._connection.fetch(self.ACCOUNTS, list(account_ids))
        return [rows.account(row) for row in found if await self.is_here(row["id"])]

    # Walks accounts_owner_idx.
    ACCOUNTS_BY_USER = f"""
        SELECT {rows.ACCOUNT_COLUMNS}
          FROM accounts
         WHERE tenant_id = $1 AND user_id = $2 AND id < $3
         ORDER BY id DESC
         LIMIT $4
    """
    # Walks accounts_pkey, at most SCAN_MAX rows of it.
    ACCOUNTS_BY_TENANT = f"""
        SELECT {rows.ACCOUNT_COLUMNS}
          FROM (
                SELECT {_ACCOUNT_NAMES}
                  FROM accounts
                 WHERE id < $1
                 ORDER BY id DESC
                 LIMIT {SCAN_MAX}
               ) AS scanned
         WHERE tenant_id = $2
         ORDER BY id DESC
         LIMIT $3
    """
    ACCOUNTS_END = f"""
        SELECT id FROM accounts WHERE id < $1 ORDER BY id DESC OFFSET {SCAN_MAX - 1} LIMIT 1
    """

    async def list_accounts(
        self, tenant_id: str, user_id: str, before: str, limit: int
    ) -> Page[Account]:
        """Return a tenant's accounts with ids below one, newest first."""
        if user_id:
            found = await self._connection.fetch(
                self.ACCOUNTS_BY_USER, tenant_id, user_id, before, limit + 1
            )
            return await self._only_here(_page([rows.account(row) for row in found], limit))
        found = await self._connection.fetch(self.ACCOUNTS_BY_TENANT, before, tenant_id, limit + 1)
        page = await self._only_here(_page([rows.account(row) for row in found], limit))
        return await self._to_end_of_scan(page, self.ACCOUNTS_END, before)

    async def list_transfers(self, account_id: str, before: str, limit: int) -> Page[Transfer]:
        """Return an account's transfers with ids below one, newest first."""
        found = await self._connection.fetch(chains.TRANSFERS, account_id, before, limit + 1)
        return _page([rows.transfer(row) for row in found], limit)

    # Walks legs_sent_transfer_idx and legs_received_transfer_idx.
    OTHER_SIDES = """
        SELECT transfer_id, convert_from(body, 'UTF8')::json ->> 'account_id'
          FROM legs_sent
         WHERE transfer_id = ANY($1::text[]) AND transfer_id <> ''
        UNION ALL
        SELECT transfer_id, remote_account_id
          FROM legs_received
         WHERE transfer_id = ANY($1::text[]) AND transfer_id <> ''
    """

    async def other_sides(self, transfer_ids: Sequence[str]) -> Mapping[str, str]:
        """Return, by transfer, the account on the other shard that money went to or came from."""
        found = await self._connection.fetch(self.OTHER_SIDES, list(transfer_ids))
        return {transfer_id: account_id for transfer_id, account_id in found}

    async def balance_at(self, account_id: str, time_us: int) -> int:
        """Return the posted balance of an account after all transfers up to a moment.

        Raises HistoryMissing where the moment is before the account came from another shard.
        """
        next_millisecond = ids.first_at(ids.TRANSFER, ids.region_of_id(account_id), time_us + 1_000)
        row = await self._connection.fetchrow(
            chains.BALANCE_AT, account_id, next_millisecond, instant(time_us)
        )
        if row is None:
            account = await self.account(account_id)
            if account is not None and account.last_transfer_id:
                raise refusals.HistoryMissing(account_id=account_id)
            return 0
        if not row["has_arrived"]:
            assert not row["is_cut"], "an account's marks are never this far apart"
            raise refusals.HistoryMissing(account_id=account_id)
        return int(row["posted"])

    MERCHANT = f"SELECT {rows.MERCHANT_COLUMNS} FROM merchants WHERE id = $1"

    async def merchant(self, merchant_id: str) -> Merchant | None:
        """Return a merchant."""
        row = await self._connection.fetchrow(self.MERCHANT, merchant_id)
        return rows.merchant(row) if row else None

    async def _to_end_of_scan(self, page: Page[Row], end_sql: str, *arguments: str) -> Page[Row]:
        """Let a page that the scan's bound cut short go on where the scan ended."""
        if page.next_before:
            return page
        end = await self._connection.fetchval(end_sql, *arguments)
        return page._replace(next_before=end or "")


def _page(found: list[Any], limit: int) -> Page[Any]:
    """Return a page of at most `limit` rows, of which one more was asked for."""
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else "")
