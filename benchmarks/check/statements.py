"""The checker's SQL: every statement returns a problem per row, in words."""

from typing import Final

TABLES: Final = """
CREATE TEMP TABLE told (
    kind text, request_id text, payment_id text, state integer, amount bigint, payer integer,
    merchant integer
);
CREATE TEMP TABLE payers (number integer PRIMARY KEY, id text NOT NULL);
CREATE TEMP TABLE shops (number integer PRIMARY KEY, id text NOT NULL, account_id text NOT NULL);
CREATE TEMP TABLE states (number integer PRIMARY KEY, name text NOT NULL);
"""

# One row for each request and each payment that the generator was told of.
GATHERED: Final = """
CREATE TEMP TABLE asked AS
SELECT request_id, min(kind) AS kind, min(payment_id) AS payment_id,
       count(DISTINCT payment_id) AS payments
  FROM told WHERE kind <> 'U' GROUP BY request_id;
-- Sent, but what became of it the generator was not told.
CREATE TEMP TABLE unknown AS SELECT DISTINCT request_id FROM told WHERE kind = 'U';
CREATE UNIQUE INDEX ON asked (request_id);
CREATE TEMP TABLE paid AS
SELECT payment_id,
       count(DISTINCT request_id) FILTER (WHERE kind = 'A') AS births,
       min(state) FILTER (WHERE kind = 'A') AS first_state,
       bool_or(kind = 'C') AS is_captured, bool_or(kind = 'V') AS is_voided,
       bool_or(kind = 'R') AS is_refunded,
       min(amount) AS amount, max(amount) AS amount_max, min(payer) AS payer,
       min(merchant) AS merchant
  FROM told WHERE kind <> 'U' GROUP BY payment_id;
CREATE UNIQUE INDEX ON paid (payment_id);
ANALYZE unknown;
ANALYZE asked;
ANALYZE paid;
ANALYZE payers;
"""

CHECKS: Final = {
    "one payment for each request": """
SELECT 'duplicate: request ' || request_id || ' was answered with ' || payments || ' payments'
  FROM asked WHERE payments > 1
""",
    "one request for each payment": """
SELECT 'payment ' || payment_id || ' was the answer to ' || births || ' requests'
  FROM paid WHERE births <> 1
""",
    "acknowledged requests are stored once": """
SELECT CASE WHEN count(r.request_id) = 0 THEN 'lost: ' ELSE 'duplicate: ' END
       || 'request ' || a.request_id || ' is stored ' || count(r.request_id) || ' times'
  FROM asked AS a
  LEFT JOIN requests AS r ON r.tenant_id = $1 AND r.request_id = a.request_id
 GROUP BY a.request_id HAVING count(r.request_id) <> 1
""",
    "stored requests lead to what was answered": """
SELECT 'request ' || a.request_id || ' is stored with ' || r.method || ' ' || r.resource_id
       || ', answered with ' || a.payment_id
  FROM asked AS a
  JOIN requests AS r ON r.tenant_id = $1 AND r.request_id = a.request_id
 WHERE r.resource_id <> a.payment_id
    OR r.method <> CASE a.kind WHEN 'A' THEN 'AUTHORIZE_PAYMENT' WHEN 'C' THEN 'CAPTURE_PAYMENT'
                               WHEN 'V' THEN 'VOID_PAYMENT' ELSE 'REFUND_PAYMENT' END
""",
    "acknowledged payments are stored once": """
SELECT CASE WHEN count(p.id) = 0 THEN 'lost: ' ELSE 'duplicate: ' END
       || 'payment ' || t.payment_id || ' is stored ' || count(p.id) || ' times'
  FROM paid AS t
  LEFT JOIN payments AS p ON p.id = t.payment_id
 GROUP BY t.payment_id HAVING count(p.id) <> 1
""",
    "payments are as answered": """
SELECT 'payment ' || p.id || ' is ' || p.state || ' over ' || p.amount || ', captured '
       || p.captured || ', refunded ' || p.refunded || '; answered ' || e.state || ' over '
       || t.amount
  FROM paid AS t
  JOIN payments AS p ON p.id = t.payment_id
  JOIN payers AS w ON w.number = t.payer
  JOIN shops AS s ON s.number = t.merchant
  JOIN states AS f ON f.number = t.first_state
 CROSS JOIN LATERAL (
       SELECT CASE WHEN t.is_voided THEN 'VOIDED' WHEN t.is_captured OR t.is_refunded
                   THEN 'CAPTURED' ELSE f.name END AS state
       ) AS e
 WHERE p.tenant_id <> $1 OR p.state <> e.state OR p.amount <> t.amount OR p.amount <> t.amount_max
    OR p.payer_account_id <> w.id OR p.merchant_id <> s.id
    OR p.captured <> CASE e.state WHEN 'CAPTURED' THEN t.amount ELSE 0 END
    OR p.refunded <> CASE WHEN t.is_refunded THEN t.amount ELSE 0 END
""",
    "no request that nobody sent": """
SELECT 'request ' || r.request_id || ' (' || r.method || ') is stored, nobody was told'
  FROM requests AS r
 WHERE r.seq > $2 AND r.tenant_id = $1
   AND NOT EXISTS (SELECT FROM asked AS a WHERE a.request_id = r.request_id)
   AND NOT EXISTS (SELECT FROM unknown AS u WHERE u.request_id = r.request_id)
""",
    "no payment that nobody asked for": """
SELECT 'payment ' || p.id || ' over ' || p.amount || ' is stored, nobody was told'
  FROM payments AS p
 WHERE p.created_at > coalesce((SELECT created_at FROM journal WHERE seq = $2), '-infinity')
   AND NOT EXISTS (SELECT FROM paid AS t WHERE t.payment_id = p.id)
   AND NOT EXISTS (SELECT FROM unknown AS u JOIN requests AS r
                       ON r.tenant_id = $1 AND r.request_id = u.request_id
                    WHERE r.resource_id = p.id)
""",
    "fees are as agreed": """
SELECT 'payment ' || p.id || ' captured ' || p.captured || ' cost ' || p.fee
  FROM paid AS t
  JOIN payments AS p ON p.id = t.payment_id
 WHERE p.fee <> CASE p.captured WHEN 0 THEN 0 ELSE
                least(p.captured, $5 + (p.captured * $4 * 2 + 10000) / 20000) END
""",
    "payers have what they had and did not pay": """
SELECT 'account ' || a.id || ' has ' || a.posted || ', by its payments it has '
       || $3 - coalesce(t.spent, 0)
  FROM payers AS w
  JOIN accounts AS a ON a.id = w.id
  LEFT JOIN (SELECT payer_account_id, sum(captured - refunded)::bigint AS spent
               FROM payments GROUP BY payer_account_id) AS t ON t.payer_account_id = a.id
 WHERE a.posted <> $3 - coalesce(t.spent, 0)
""",
    "merchants have what they had and were paid": """
SELECT 'account ' || a.id || ' has ' || a.posted || ', by its payments it has '
       || $3 + coalesce(t.taken, 0)
  FROM shops AS s
  JOIN accounts AS a ON a.id = s.account_id
  LEFT JOIN (SELECT settlement_account_id, sum(captured - refunded - fee)::bigint AS taken
               FROM payments GROUP BY settlement_account_id) AS t
    ON t.settlement_account_id = a.id
 WHERE a.posted <> $3 + coalesce(t.taken, 0)
""",
    "all accounts together have nothing": """
SELECT 'accounts in ' || currency || ' add up to ' || sum(posted)
  FROM accounts GROUP BY currency HAVING sum(posted) <> 0
""",
}
"""$1 tenant, $2 journal head before the load, $3 funds, $4 basis points, $5 fixed fee."""

CHECKS_BETWEEN: Final = {
    "payees of other shards have their money": """
SELECT 'leg ' || number || ' from ' || source || ' for payment ' || payment_id || ' was '
       || outcome
  FROM legs_received WHERE payment_id <> '' AND outcome <> 'POSTED'
""",
}
"""What else must hold where there are several shards."""
