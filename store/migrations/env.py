"""What alembic runs: the migrations over a connection that `store.migrate` has opened, in its transaction."""

from typing import Any

from alembic import context
from sqlalchemy import Connection
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from store.columns import Document
from store.schema import METADATA

_PLAIN: dict[type, str] = {
    Document: "postgresql.JSONB()",
    AutoString: "sa.String()",
    UTCDateTime: "sa.DateTime(timezone=True)",
}


def render_item(kind: str, item: object, _context: object) -> Any:  # noqa: ANN401 - alembic's own signature
    """A migration stays as it was written: it names PostgreSQL's types, not the classes of today that read them."""
    if kind != "type":
        return False
    return next((plain for own, plain in _PLAIN.items() if isinstance(item, own)), False)


def run() -> None:
    """Bring the database of the given connection to the wanted revision."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=METADATA, render_item=render_item)
    with context.begin_transaction():
        context.run_migrations()


run()
