"""Naming: the keys by which callers know what the books refer to by id. One statement for a whole page."""

from collections.abc import Iterable, Mapping

from domain.catalog import Meter
from store.columns import codec
from store.connections import Fetches

_KEYS = """
    SELECT id, key FROM customers WHERE id = ANY($1::text[])
    UNION ALL SELECT id, key FROM subscriptions WHERE id = ANY($1::text[])
"""
_CUSTOMERS = "SELECT id, key FROM customers WHERE id = ANY($1::text[]) OR key = ANY($1::text[])"
_NTH = """
    SELECT invoice.id FROM invoices invoice JOIN subscriptions sold ON sold.id = invoice.subscription_id
     WHERE (sold.id = $1 OR sold.key = $1) AND invoice.state <> 'draft'
     ORDER BY invoice.seq LIMIT 1 OFFSET $2
"""


async def keys_of(pool: Fetches, ids: Iterable[str | None]) -> Mapping[str, str]:
    """The keys of customers and subscriptions; what has none (yet) is named by its id."""
    wanted = sorted({one for one in ids if one})
    if not wanted:
        return {}
    rows = await pool.fetch(_KEYS, wanted)
    return {one: one for one in wanted} | {str(row["id"]): str(row["key"]) for row in rows}


async def customers_named(pool: Fetches, names: Iterable[str]) -> Mapping[str, str]:
    """The id of each customer that is named by id or key; an id wins over another's key."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    rows = await pool.fetch(_CUSTOMERS, wanted)
    return {str(row["key"]): str(row["id"]) for row in rows} | {str(row["id"]): str(row["id"]) for row in rows}


async def known_meters(pool: Fetches) -> tuple[Meter, ...]:
    """Every meter, those too that a later price book left out: what was sold with them is still measured."""
    rows = await pool.fetch("SELECT document::text AS document FROM meters ORDER BY key")
    return tuple(codec(Meter).validate_json(row["document"]) for row in rows)


async def invoice_named(pool: Fetches, name: str) -> str:
    """`name` itself, or the id of the invoice that `q1#2` names: the second of subscription q1."""
    subscription, mark, ordinal = name.rpartition("#")
    if not mark or not ordinal.isascii() or not ordinal.isdigit() or len(ordinal) > 6 or int(ordinal) < 1:
        return name
    rows = await pool.fetch(_NTH, subscription, int(ordinal) - 1)
    return str(rows[0]["id"]) if rows else name
