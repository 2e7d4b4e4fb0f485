"""The books: all tables as they were at first. Keys, checks and indexes get the names that PostgreSQL gives."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From nothing."""
    for statement in SQL.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    """Back to nothing."""
    op.execute("DROP TABLE " + ", ".join(TABLES))


SQL = """
CREATE TABLE customers (
    id varchar PRIMARY KEY,
    key varchar NOT NULL UNIQUE,
    currency varchar NOT NULL,
    created_at timestamptz NOT NULL,
    provider_ref varchar,
    document jsonb NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE
);
CREATE INDEX ON customers (provider_ref);
CREATE TABLE price_books (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity varchar NOT NULL,
    applied_at timestamptz NOT NULL,
    document jsonb NOT NULL
);
CREATE TABLE plans (
    key varchar NOT NULL,
    version integer NOT NULL,
    applied_at timestamptz NOT NULL,
    document jsonb NOT NULL,
    PRIMARY KEY (key, version)
);
CREATE TABLE meters (
    key varchar PRIMARY KEY,
    event varchar NOT NULL,
    document jsonb NOT NULL
);
CREATE INDEX ON meters (event);
CREATE TABLE features (
    key varchar PRIMARY KEY,
    document jsonb NOT NULL
);
CREATE TABLE quotes (
    id varchar PRIMARY KEY,
    key varchar NOT NULL UNIQUE,
    customer_id varchar NOT NULL REFERENCES customers DEFERRABLE INITIALLY DEFERRED,
    state varchar NOT NULL CHECK (state IN ('draft', 'in_approval', 'approved', 'accepted', 'rejected', 'expired',
        'withdrawn')),
    created_at timestamptz NOT NULL,
    waiting_on varchar,
    waiting_until timestamptz,
    next_action varchar,
    next_action_at timestamptz,
    document jsonb NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE
);
CREATE INDEX ON quotes (customer_id);
CREATE INDEX ON quotes (next_action_at) WHERE next_action_at IS NOT NULL;
CREATE INDEX ON quotes (state);
CREATE TABLE orders (
    id varchar PRIMARY KEY,
    key varchar NOT NULL UNIQUE,
    quote_id varchar NOT NULL UNIQUE REFERENCES quotes DEFERRABLE INITIALLY DEFERRED,
    customer_id varchar NOT NULL REFERENCES customers DEFERRABLE INITIALLY DEFERRED,
    state varchar NOT NULL CHECK (state IN ('open', 'provisioning', 'waiting', 'completed', 'compensating',
        'cancelled', 'stuck')),
    accepted_at timestamptz NOT NULL,
    subscription_id varchar,
    waiting_on varchar,
    waiting_until timestamptz,
    next_action varchar,
    next_action_at timestamptz,
    document jsonb NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE
);
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON orders (next_action_at) WHERE next_action_at IS NOT NULL;
CREATE INDEX ON orders (state);
CREATE INDEX ON orders (subscription_id);
CREATE TABLE subscriptions (
    id varchar PRIMARY KEY,
    key varchar NOT NULL UNIQUE,
    order_id varchar NOT NULL UNIQUE REFERENCES orders DEFERRABLE INITIALLY DEFERRED,
    customer_id varchar NOT NULL REFERENCES customers DEFERRABLE INITIALLY DEFERRED,
    currency varchar NOT NULL,
    state varchar NOT NULL CHECK (state IN ('scheduled', 'trialing', 'active', 'paused', 'suspended', 'ended')),
    activated_at timestamptz NOT NULL,
    period_starts_on date,
    period_ends_on date,
    ends_on date,
    ended_at timestamptz,
    next_action_at timestamptz,
    document jsonb NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE
);
CREATE INDEX ON subscriptions (customer_id);
CREATE INDEX ON subscriptions (next_action_at) WHERE next_action_at IS NOT NULL;
CREATE INDEX ON subscriptions (state);
CREATE TABLE entitlements (
    id varchar PRIMARY KEY,
    customer_id varchar NOT NULL,
    subscription_id varchar NOT NULL REFERENCES subscriptions DEFERRABLE INITIALLY DEFERRED,
    feature varchar NOT NULL,
    type varchar NOT NULL CHECK (type IN ('boolean', 'static', 'metered', 'seats', 'concurrent', 'license_key')),
    meter varchar,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz,
    document jsonb NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE
);
CREATE INDEX ON entitlements (customer_id, feature);
CREATE INDEX ON entitlements (subscription_id);
CREATE TABLE suspensions (
    invoice_id varchar PRIMARY KEY,
    subscription_id varchar NOT NULL REFERENCES subscriptions DEFERRABLE INITIALLY DEFERRED,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz
);
CREATE INDEX ON suspensions (subscription_id);
CREATE TABLE usage_events (
    customer_id varchar NOT NULL,
    source varchar NOT NULL,
    id varchar NOT NULL,
    type varchar NOT NULL,
    time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    data jsonb NOT NULL,
    PRIMARY KEY (customer_id, source, id)
);
CREATE INDEX ON usage_events (customer_id, type, time);
CREATE TABLE refused_usage (
    subject varchar NOT NULL,
    type varchar NOT NULL,
    code varchar NOT NULL,
    times bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    last_id varchar NOT NULL,
    detail varchar NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    PRIMARY KEY (subject, type, code)
);
CREATE TABLE billed_usage (
    subscription_id varchar NOT NULL REFERENCES subscriptions DEFERRABLE INITIALLY DEFERRED,
    ends_at timestamptz NOT NULL,
    starts_at timestamptz NOT NULL,
    position integer NOT NULL,
    charge varchar NOT NULL,
    billed_minor bigint NOT NULL,
    currency varchar NOT NULL,
    document jsonb NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    PRIMARY KEY (subscription_id, ends_at, starts_at, position, charge)
);
CREATE TABLE invoices (
    id varchar PRIMARY KEY,
    number varchar UNIQUE,
    customer_id varchar NOT NULL REFERENCES customers DEFERRABLE INITIALLY DEFERRED,
    subscription_id varchar NOT NULL,
    state varchar NOT NULL CHECK (state IN ('draft', 'open', 'paid', 'void', 'written_off')),
    currency varchar NOT NULL,
    timezone varchar NOT NULL,
    period_starts_on date NOT NULL,
    period_ends_on date NOT NULL,
    issued_at timestamptz,
    due_at timestamptz,
    paid_at timestamptz,
    subtotal_minor bigint NOT NULL,
    discount_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    total_minor bigint NOT NULL,
    credits_applied_minor bigint NOT NULL,
    amount_due_minor bigint NOT NULL,
    amount_paid_minor bigint NOT NULL,
    taxes jsonb NOT NULL,
    seller jsonb,
    buyer jsonb,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE
);
CREATE INDEX ON invoices (customer_id);
CREATE INDEX invoices_open_idx ON invoices (customer_id, currency) WHERE state = 'open';
CREATE INDEX ON invoices (subscription_id);
CREATE TABLE invoice_lines (
    invoice_id varchar NOT NULL REFERENCES invoices DEFERRABLE INITIALLY DEFERRED,
    position integer NOT NULL,
    charge varchar NOT NULL,
    kind varchar NOT NULL CHECK (kind IN ('recurring', 'usage', 'one_time', 'proration_charge', 'proration_credit',
        'minimum', 'true_up', 'late_usage', 'credit_burn', 'discount', 'tax_adjustment')),
    description varchar NOT NULL,
    quantity varchar NOT NULL,
    unit_amount numeric,
    amount_minor bigint NOT NULL,
    starts_on date NOT NULL,
    ends_on date NOT NULL,
    tax_rate numeric NOT NULL,
    proration_days integer,
    proration_of integer,
    PRIMARY KEY (invoice_id, position)
);
CREATE TABLE invoice_counters (
    prefix varchar NOT NULL,
    year integer NOT NULL,
    last integer NOT NULL,
    PRIMARY KEY (prefix, year)
);
CREATE TABLE payments (
    id varchar PRIMARY KEY,
    invoice_id varchar NOT NULL REFERENCES invoices DEFERRABLE INITIALLY DEFERRED,
    attempt integer NOT NULL,
    customer_id varchar NOT NULL,
    amount_minor bigint NOT NULL,
    currency varchar NOT NULL,
    at timestamptz NOT NULL,
    state varchar NOT NULL CHECK (state IN ('pending', 'processing', 'requires_action', 'succeeded', 'failed',
        'unknown', 'refunded')),
    intent_ref varchar,
    document jsonb NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    UNIQUE (invoice_id, attempt)
);
CREATE INDEX ON payments (customer_id);
CREATE INDEX ON payments (intent_ref);
CREATE INDEX ON payments (state);
CREATE TABLE collections (
    invoice_id varchar PRIMARY KEY REFERENCES invoices DEFERRABLE INITIALLY DEFERRED,
    customer_id varchar NOT NULL REFERENCES customers DEFERRABLE INITIALLY DEFERRED,
    subscription_id varchar NOT NULL,
    state varchar NOT NULL CHECK (state IN ('open', 'retrying', 'awaiting_customer', 'processing', 'promised',
        'paused', 'disputed', 'stuck', 'paid', 'written_off')),
    amount_due_minor bigint NOT NULL,
    currency varchar NOT NULL,
    issued_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    since timestamptz NOT NULL,
    stuck_reason varchar,
    suspended boolean NOT NULL,
    waiting_on varchar,
    waiting_until timestamptz,
    next_action varchar,
    next_action_at timestamptz,
    document jsonb NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE
);
CREATE INDEX ON collections (customer_id);
CREATE INDEX ON collections (next_action_at) WHERE next_action_at IS NOT NULL;
CREATE INDEX ON collections (state);
CREATE INDEX ON collections (stuck_reason);
CREATE INDEX ON collections (subscription_id);
CREATE TABLE ledger_entries (
    cause varchar NOT NULL,
    position integer NOT NULL,
    at timestamptz NOT NULL,
    customer_id varchar NOT NULL,
    account varchar NOT NULL CHECK (account IN ('receivable', 'cash', 'revenue', 'tax_payable', 'customer_credit',
        'bad_debt')),
    amount_minor bigint NOT NULL,
    currency varchar NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    PRIMARY KEY (cause, position)
);
CREATE INDEX ledger_entries_balance_idx ON ledger_entries (customer_id, account, currency);
CREATE TABLE audit_events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type varchar NOT NULL,
    cause varchar NOT NULL,
    at timestamptz NOT NULL,
    customer_id varchar NOT NULL,
    subject varchar NOT NULL,
    subscription_id varchar,
    data jsonb NOT NULL,
    actor varchar NOT NULL,
    UNIQUE (cause, type)
);
CREATE INDEX ON audit_events (customer_id);
CREATE INDEX ON audit_events (subject);
CREATE INDEX ON audit_events (subscription_id);
CREATE INDEX ON audit_events (type);
CREATE TABLE api_keys (
    id varchar PRIMARY KEY,
    secret_hash varchar NOT NULL UNIQUE,
    role varchar NOT NULL CHECK (role IN ('admin', 'sales', 'provisioning', 'finance', 'usage', 'customer')),
    customer_id varchar REFERENCES customers DEFERRABLE INITIALLY DEFERRED,
    approvers varchar[] NOT NULL,
    label varchar NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    CONSTRAINT api_keys_customer_check CHECK ((role = 'customer') = (customer_id IS NOT NULL))
);
CREATE INDEX ON api_keys (customer_id);
CREATE TABLE idempotency_keys (
    api_key_id varchar NOT NULL,
    path varchar NOT NULL,
    key varchar NOT NULL,
    body_hash varchar NOT NULL,
    begun_at timestamptz NOT NULL,
    done boolean NOT NULL,
    status integer,
    headers jsonb,
    body bytea,
    PRIMARY KEY (api_key_id, path, key)
);
CREATE INDEX ON idempotency_keys (begun_at)
"""
TABLES = [line.split()[2] for line in SQL.splitlines() if line.startswith("CREATE TABLE")]
