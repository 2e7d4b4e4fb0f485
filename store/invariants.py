"""What must always be true of the books, as queries that must return nothing. The number is the house's invariant.

They read the whole of the books: for tests, simulations and reconciliation, not for a request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


@dataclass(frozen=True, slots=True)
class Violation:
    """`rows` are what the query of that `name` found, as column and value, at most a hundred."""

    name: str
    rows: tuple[Mapping[str, Any], ...]


_LIMIT = 100

_COMMERCE = {
    # 1
    "an accepted quote has its order, and an order its accepted quote": """
        SELECT quote.id AS quote, sold.id AS "order", quote.state
          FROM quotes quote FULL JOIN orders sold ON sold.quote_id = quote.id
         WHERE (quote.state = 'accepted') IS DISTINCT FROM (sold.id IS NOT NULL)""",
    "a completed order has its subscription, and a subscription its completed order": """
        SELECT sold.id AS "order", sold.state, runs.id AS subscription
          FROM orders sold FULL JOIN subscriptions runs ON runs.order_id = sold.id
         WHERE (sold.state = 'completed') IS DISTINCT FROM (runs.id IS NOT NULL)
            OR sold.subscription_id IS DISTINCT FROM runs.id""",
    # 4
    "a running subscription knows its next boundary, and an ended one has at most late usage to wait for": """
        SELECT id, state, next_action_at FROM subscriptions
         WHERE (state IN ('trialing', 'active') AND next_action_at IS NULL AND (document ->> 'recurs')::boolean)
            OR (state = 'ended' AND (ended_at IS NULL
                OR next_action_at IS DISTINCT FROM (document ->> 'late_until')::timestamptz))""",
    # 7
    "what is open says whose move it is, and what is closed waits for nobody": """
        SELECT kind, id, state, waiting_on, next_action_at FROM (
            SELECT 'quote' AS kind, id, state, waiting_on, next_action_at,
                   state IN ('draft', 'in_approval', 'approved') AS is_open FROM quotes
            UNION ALL
            SELECT 'order', id, state, waiting_on, next_action_at,
                   state NOT IN ('completed', 'cancelled') FROM orders
            UNION ALL
            SELECT 'collection', invoice_id, state, waiting_on, next_action_at,
                   state NOT IN ('paid', 'written_off') FROM collections) lifecycle
         WHERE is_open IS DISTINCT FROM (waiting_on IS NOT NULL) OR (NOT is_open AND next_action_at IS NOT NULL)""",
    "a row says what its document says": """
        SELECT kind, id, said, written FROM (
            SELECT 'quote' AS kind, id, state AS said, document ->> 'state' AS written FROM quotes
            UNION ALL SELECT 'order', id, state, document ->> 'state' FROM orders
            UNION ALL SELECT 'subscription', id, state, document ->> 'state' FROM subscriptions
            UNION ALL SELECT 'collection', invoice_id, state, document ->> 'state' FROM collections
            UNION ALL SELECT 'payment', id, state, document ->> 'state' FROM payments
            UNION ALL SELECT 'entitlement', id, extract(epoch FROM ends_at)::text,
                             extract(epoch FROM (document ->> 'ends_at')::timestamptz)::text FROM entitlements) row
         WHERE said IS DISTINCT FROM written""",
}

_ACCESS = {
    # 6
    "nothing is given beyond the end of a subscription": """
        SELECT held.id, runs.id AS subscription, held.ends_at, runs.ended_at
          FROM entitlements held JOIN subscriptions runs ON runs.id = held.subscription_id
         WHERE runs.state = 'ended' AND (held.ends_at IS NULL OR held.ends_at > runs.ended_at)""",
    "a closed collection holds no suspension, and one that suspends what still runs does": """
        SELECT collected.invoice_id, collected.state, collected.suspended, shut.starts_at
          FROM collections collected
          JOIN invoices header ON header.id = collected.invoice_id
          LEFT JOIN subscriptions runs ON runs.id = header.subscription_id
          LEFT JOIN suspensions shut ON shut.invoice_id = collected.invoice_id AND shut.ends_at IS NULL
         WHERE (collected.suspended AND collected.state NOT IN ('paid', 'written_off') AND runs.state <> 'ended')
               IS DISTINCT FROM (shut.invoice_id IS NOT NULL)""",
    "a suspension is held by a collection": """
        SELECT shut.invoice_id, shut.subscription_id FROM suspensions shut
          LEFT JOIN collections collected USING (invoice_id) WHERE collected.invoice_id IS NULL""",
}

_INVOICES = {
    # 3
    "a finalized invoice adds up": """
        SELECT header.id, header.total_minor, summed.subtotal, summed.discount, taxed.tax
          FROM invoices header
          LEFT JOIN LATERAL (
               SELECT count(*) AS lines, coalesce(sum(amount_minor) FILTER (WHERE kind <> 'discount'), 0) AS subtotal,
                      coalesce(-sum(amount_minor) FILTER (WHERE kind = 'discount'), 0) AS discount
                 FROM invoice_lines WHERE invoice_id = header.id) summed ON true
          LEFT JOIN LATERAL (
               SELECT coalesce(sum((tax -> 'amount' ->> 'minor')::bigint), 0) AS tax
                 FROM jsonb_array_elements(header.taxes) tax) taxed ON true
         WHERE header.state <> 'draft'
           AND (summed.lines = 0 OR header.number IS NULL OR header.issued_at IS NULL
                OR header.subtotal_minor <> summed.subtotal OR header.discount_minor <> summed.discount
                OR header.tax_minor <> taxed.tax
                OR header.total_minor <> summed.subtotal - summed.discount + taxed.tax
                OR header.amount_due_minor <> greatest(0, header.total_minor - header.credits_applied_minor))""",
    "invoice numbers have no gap": """
        SELECT substring(number FROM '^(.*)-[0-9]+$') AS series, count(*) AS given,
               max(substring(number FROM '[0-9]+$')::bigint) AS highest
          FROM invoices WHERE number IS NOT NULL
         GROUP BY 1 HAVING count(*) <> max(substring(number FROM '[0-9]+$')::bigint)""",
    "every number that was given is on an invoice": """
        SELECT coalesce(counted.series, written.series) AS series, counted.last AS given, written.invoices
          FROM (SELECT prefix || '-' || year AS series, last FROM invoice_counters) counted
          FULL JOIN (SELECT substring(number FROM '^(.*)-[0-9]+$') AS series, count(*) AS invoices
                       FROM invoices WHERE number IS NOT NULL GROUP BY 1) written ON written.series = counted.series
         WHERE counted.last IS DISTINCT FROM written.invoices""",
    "a finalized invoice names its seller and its buyer": """
        SELECT id, number, seller IS NULL AS no_seller, buyer IS NULL AS no_buyer FROM invoices
         WHERE state <> 'draft' AND (seller IS NULL OR buyer IS NULL)""",
    # 7
    "an open invoice with money due has an open collection, and a closed one has none": """
        SELECT header.id, header.state, header.amount_due_minor, header.amount_paid_minor, collected.state AS collection
          FROM invoices header
          LEFT JOIN collections collected
               ON collected.invoice_id = header.id AND collected.state NOT IN ('paid', 'written_off')
         WHERE (header.state = 'open' AND header.amount_due_minor > header.amount_paid_minor)
               IS DISTINCT FROM (collected.invoice_id IS NOT NULL)""",
    "an invoice is open while money is outstanding": """
        SELECT id, state, amount_due_minor, amount_paid_minor, paid_at FROM invoices
         WHERE amount_paid_minor > amount_due_minor
            OR (state = 'open' AND amount_paid_minor >= amount_due_minor)
            OR (state = 'paid' AND (amount_paid_minor <> amount_due_minor OR paid_at IS NULL))""",
}

_PAYMENTS = {
    # 2
    "no invoice is paid more than it asks for": """
        SELECT header.id, header.amount_due_minor, sum(paid.amount_minor) AS paid
          FROM invoices header JOIN payments paid ON paid.invoice_id = header.id AND paid.state = 'succeeded'
         GROUP BY header.id HAVING sum(paid.amount_minor) > header.amount_due_minor""",
    "what an invoice has been paid is what its payments brought": """
        SELECT header.id, header.amount_paid_minor, coalesce(sum(paid.amount_minor), 0) AS brought
          FROM invoices header
          LEFT JOIN payments paid ON paid.invoice_id = header.id AND paid.state IN ('succeeded', 'refunded')
         GROUP BY header.id HAVING header.amount_paid_minor <> coalesce(sum(paid.amount_minor), 0)""",
    "an invoice has one charge in flight at most": """
        SELECT invoice_id, array_agg(id ORDER BY attempt) AS payments FROM payments
         WHERE state IN ('pending', 'processing', 'unknown') GROUP BY invoice_id HAVING count(*) > 1""",
    "attempts are numbered without a gap": """
        SELECT invoice_id, count(*) AS attempts, max(attempt) AS highest FROM payments
         GROUP BY invoice_id HAVING count(*) <> max(attempt) OR min(attempt) <> 1""",
}

_LEDGER = {
    # 3
    "the ledger sums to zero in every currency": """
        SELECT currency, sum(amount_minor) AS sum FROM ledger_entries
         GROUP BY currency HAVING sum(amount_minor) <> 0""",
    "every cause is posted in one currency and sums to zero": """
        SELECT cause, sum(amount_minor) AS sum, count(DISTINCT currency) AS currencies FROM ledger_entries
         GROUP BY cause HAVING sum(amount_minor) <> 0 OR count(DISTINCT currency) <> 1""",
    "what customers owe is what their open invoices ask for": """
        SELECT coalesce(booked.customer_id, asked.customer_id) AS customer,
               coalesce(booked.currency, asked.currency) AS currency, booked.receivable, asked.outstanding
          FROM (SELECT customer_id, currency, sum(amount_minor) AS receivable FROM ledger_entries
                 WHERE account = 'receivable' GROUP BY customer_id, currency) booked
          FULL JOIN (SELECT customer_id, currency, sum(amount_due_minor - amount_paid_minor) AS outstanding
                       FROM invoices WHERE state = 'open' GROUP BY customer_id, currency) asked
               ON asked.customer_id = booked.customer_id AND asked.currency = booked.currency
         WHERE coalesce(booked.receivable, 0) <> coalesce(asked.outstanding, 0)""",
    "no customer has used more credit than there was": """
        SELECT customer_id, currency, sum(amount_minor) AS overdrawn FROM ledger_entries
         WHERE account = 'customer_credit' GROUP BY customer_id, currency HAVING sum(amount_minor) > 0""",
    "every finalized invoice is in the ledger as it stands": """
        SELECT header.id, header.subtotal_minor - header.discount_minor AS net, -coalesce(booked.revenue, 0) AS revenue,
               header.tax_minor, -coalesce(booked.tax, 0) AS tax
          FROM invoices header
          LEFT JOIN (SELECT cause, sum(amount_minor) FILTER (WHERE account = 'revenue') AS revenue,
                            sum(amount_minor) FILTER (WHERE account = 'tax_payable') AS tax
                       FROM ledger_entries GROUP BY cause) booked ON booked.cause = 'invoice/' || header.id
         WHERE header.state <> 'draft'
           AND (header.subtotal_minor - header.discount_minor <> -coalesce(booked.revenue, 0)
                OR header.tax_minor <> -coalesce(booked.tax, 0))""",
    "every payment that succeeded is in the ledger, and no other": """
        SELECT coalesce(booked.cause, 'payment/' || paid.id) AS cause, paid.amount_minor, booked.cash
          FROM (SELECT id, amount_minor FROM payments WHERE state IN ('succeeded', 'refunded')) paid
          FULL JOIN (SELECT cause, sum(amount_minor) AS cash FROM ledger_entries
                      WHERE account = 'cash' AND cause LIKE 'payment/%' GROUP BY cause) booked
               ON booked.cause = 'payment/' || paid.id
         WHERE paid.amount_minor IS DISTINCT FROM booked.cash""",
}

_USAGE = {
    # 5
    "no moment of usage is billed twice": """
        WITH counted AS (
             SELECT billed.subscription_id, position, charge, billed.seq, customer_id, billed.document ->> 'meter' AS meter,
                    tstzmultirange(tstzrange(starts_at, ends_at)) - (
                        SELECT coalesce(range_agg(tstzrange((claim -> 'span' ->> 'starts_at')::timestamptz,
                                                            (claim -> 'span' ->> 'ends_at')::timestamptz)), '{}')
                          FROM jsonb_array_elements(billed.document -> 'part' -> 'claimed') claim
                         WHERE claim ->> 'meter' = billed.document ->> 'meter') AS moments
               FROM billed_usage billed JOIN subscriptions runs ON runs.id = billed.subscription_id)
        SELECT one.subscription_id, one.position, one.charge, one.meter, other.subscription_id AS again,
               other.position AS again_position, (one.moments * other.moments)::text AS moments
          FROM counted one JOIN counted other
               ON other.customer_id = one.customer_id AND other.meter = one.meter AND other.seq > one.seq
              AND other.moments && one.moments
              AND (other.charge = one.charge
                   OR (other.subscription_id, other.position) <> (one.subscription_id, one.position))""",
    "what was billed of usage is what the invoices say": """
        SELECT billed.subscription_id, billed.charge, billed.sum AS billed, coalesce(invoiced.sum, 0) AS invoiced
          FROM (SELECT subscription_id, charge, sum(billed_minor) AS sum FROM billed_usage
                 WHERE document ->> 'meter' IS NOT NULL
                 GROUP BY subscription_id, charge) billed
          LEFT JOIN (SELECT header.subscription_id, line.charge, sum(line.amount_minor) AS sum
                       FROM invoice_lines line JOIN invoices header ON header.id = line.invoice_id
                      WHERE line.kind IN ('usage', 'minimum', 'late_usage') AND header.state <> 'draft'
                      GROUP BY header.subscription_id, line.charge) invoiced
               ON invoiced.subscription_id = billed.subscription_id AND invoiced.charge = billed.charge
         WHERE billed.sum <> coalesce(invoiced.sum, 0)""",
    "what invoices say of usage is remembered as billed": """
        SELECT header.id, header.subscription_id, line.charge, line.starts_on, line.ends_on
          FROM invoice_lines line JOIN invoices header ON header.id = line.invoice_id
         WHERE line.kind = 'usage' AND header.state <> 'draft' AND NOT EXISTS (
               SELECT FROM billed_usage billed
                WHERE billed.subscription_id = header.subscription_id AND billed.charge = line.charge
                  AND (billed.document -> 'part' -> 'period' ->> 'starts_on')::date = line.starts_on
                  AND (billed.document -> 'part' -> 'period' ->> 'ends_on')::date = line.ends_on)""",
}

INVARIANTS: Mapping[str, str] = {**_COMMERCE, **_ACCESS, **_INVOICES, **_PAYMENTS, **_LEDGER, **_USAGE}


async def violations(engine: AsyncEngine) -> list[Violation]:
    """Every invariant that does not hold, judged on one snapshot of the books; empty when all is well."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        return await violations_in(connection)


async def violations_in(connection: AsyncConnection) -> list[Violation]:
    """The same as one transaction sees it."""
    found: list[Violation] = []
    for name, query in INVARIANTS.items():
        rows = (await connection.execute(text(query))).mappings().fetchmany(_LIMIT)
        if rows:
            found.append(Violation(name, tuple(dict(row) for row in rows)))
    return found
