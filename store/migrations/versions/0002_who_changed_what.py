"""What changed with each audit event; when a key ends and was last used."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; what happened before tells no changes."""
    op.execute("ALTER TABLE audit_events ADD COLUMN changes jsonb NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE audit_events ALTER COLUMN changes DROP DEFAULT")
    op.execute("CREATE INDEX ON audit_events (at)")
    op.execute("CREATE INDEX ON audit_events (actor)")
    op.execute("ALTER TABLE api_keys ADD COLUMN expires_at timestamptz, ADD COLUMN last_used_at timestamptz")


def downgrade() -> None:
    """Without them."""
    op.execute("ALTER TABLE api_keys DROP COLUMN expires_at, DROP COLUMN last_used_at")
    op.execute("DROP INDEX audit_events_actor_idx, audit_events_at_idx")
    op.execute("ALTER TABLE audit_events DROP COLUMN changes")
