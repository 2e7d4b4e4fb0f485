"""What an operator asks for from the shell: each command reads the environment, does its one thing, and ends."""

import json
import secrets
import sys
from pathlib import Path

from api.price_book import read_price_book
from api.reconciliation import reconciliation
from domain.errors import InvalidInput
from domain.ids import derived_id
from store.access import PREFIX, ApiKey, Role, create_key
from store.books import open_books
from store.connections import engine_of, pool_of
from store.migrate import migrate
from workers.clock import WallClock
from workers.doors import doors_of
from workers.environment import read_settings
from workers.files import naming, text_of
from workers.reach import connected, require_database
from workers.reconcile import reconcile, report


async def run_migrate() -> int:
    """Bring the configured database to this version's schema."""
    settings = read_settings("migrate")
    await require_database(settings, migrated=False)
    await migrate(settings.database_url)
    return 0


async def run_reconcile(*, as_json: bool, repair: bool) -> int:
    """Compare the books with all who should agree with them, and print it. Answers 1 when anything disagrees."""
    settings = read_settings("reconcile")
    await require_database(settings)
    client = await connected(settings)
    engine = engine_of(settings.database_url, name="perennial-reconcile")
    doors = doors_of(settings, engine, client)
    try:
        lifecycles = doors.lifecycles if repair else None
        found = await reconcile(engine, client, doors.payments, WallClock().now(), repair=lifecycles)
    finally:
        await engine.dispose()
    if as_json:
        print(json.dumps(reconciliation(found), indent=2))  # noqa: T201
    else:
        report(found, sys.stdout)
    return 1 if found.disagreements else 0


async def run_apply(file: Path) -> int:
    """Load a price book into the configured database."""
    with naming(file):
        book = read_price_book(text_of(file))
    settings = read_settings("migrate")
    await require_database(settings)
    engine = engine_of(settings.database_url)
    try:
        async with open_books(engine)() as books:
            applied = await books.catalog.apply(book, WallClock().now())
    finally:
        await engine.dispose()
    print("\n".join(f"{plan.key} version {plan.version}" for plan in applied.plans))  # noqa: T201
    return 0


async def run_create_key(*, role: str, customer: str | None, approvers: tuple[str, ...]) -> int:
    """Make an API key in the configured database and print its secret, once."""
    if role not in set(Role):
        raise InvalidInput(f"--role {role}: one of {', '.join(Role)}")
    if (role == Role.CUSTOMER) != (customer is not None):
        raise InvalidInput("--customer goes with the role customer, and with no other")
    settings = read_settings("migrate")
    await require_database(settings)
    engine = engine_of(settings.database_url)
    pool = await pool_of(settings.database_url)
    try:
        customer_id = None
        if customer is not None:
            async with open_books(engine)() as books:
                customer_id = (await books.customers.get(customer)).id
        secret = f"{PREFIX}{secrets.token_hex(16)}"
        at = WallClock().now()
        key = ApiKey(
            id=derived_id("key", at, secrets.token_hex(16)),
            role=Role(role),
            customer_id=customer_id,
            approvers=approvers,
            created_at=at,
            label="made by perennial keys create",
        )
        await create_key(pool, key, secret)
    finally:
        await pool.close()
        await engine.dispose()
    print(secret)  # noqa: T201
    return 0
