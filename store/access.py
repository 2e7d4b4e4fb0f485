"""Access: API keys, of which only hashes are kept, and the answers that an idempotency key gives again.

    begin ──> Fresh ──finish──> done       every later begin: Replay, or Conflict for another body
                └────abandon──> as if never begun         meanwhile: InProgress

A process that dies leaves its key in progress; whoever comes after `stale_after` takes over, and a late finish of the
dead one changes nothing.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from asyncpg import Record
from sqlalchemy import CheckConstraint, Column, LargeBinary, String
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from domain.errors import NotFound
from store.columns import one_of, reference, sequence
from store.connections import Fetches

KEPT_FOR = timedelta(days=30)
NOTED_EVERY = timedelta(hours=1)
# By it a secret is known for one of ours wherever it turns up.
PREFIX = "prn_"


class Role(StrEnum):
    """What a key may do (contract section 1)."""

    ADMIN = "admin"
    SALES = "sales"
    PROVISIONING = "provisioning"
    FINANCE = "finance"
    USAGE = "usage"
    CUSTOMER = "customer"


class ApiKeyRow(SQLModel, table=True):
    """`api_keys`: `secret_hash` is SHA-256 in hex; the secret itself is shown once and kept nowhere."""

    __tablename__ = "api_keys"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        one_of("role", Role),
        CheckConstraint("(role = 'customer') = (customer_id IS NOT NULL)", name="customer"),
    )

    id: str = Field(primary_key=True)
    secret_hash: str = Field(unique=True)
    role: str
    customer_id: str | None = reference("customers.id", nullable=True, index=True)
    approvers: list[str] = Field(sa_column=Column(ARRAY(String), nullable=False))
    label: str
    created_at: datetime
    revoked_at: datetime | None
    seq: int = sequence()
    expires_at: datetime | None
    last_used_at: datetime | None


class IdempotencyKeyRow(SQLModel, table=True):
    """`idempotency_keys`: one row per key, path and caller; the answer is set once `done`."""

    __tablename__ = "idempotency_keys"  # pyright: ignore[reportAssignmentType]

    api_key_id: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    body_hash: str
    begun_at: datetime = Field(index=True)
    done: bool
    status: int | None
    headers: dict[str, str] | None = Field(sa_column=Column(JSONB(none_as_null=True)))
    body: bytes | None = Field(sa_type=LargeBinary)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Who may call. A customer's key is bound to `customer_id`; `approvers` are the names it may decide quotes in.

    Nobody calls with it from `expires_at` on. `last_used_at` is coarse: at most an hour behind.
    """

    id: str
    role: Role
    created_at: datetime
    customer_id: str | None = None
    approvers: tuple[str, ...] = ()
    label: str = ""
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to happen once: the caller's `key` on `path`, told by `body_hash` from other uses of the same key."""

    api_key_id: str
    path: str
    key: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """Ours to carry out; hand it back with `finish` or `abandon`."""

    request: Request
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class Replay:
    """Carried out before: this was the answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class InProgress:
    """Somebody is carrying it out now."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key was used for another body."""


_CREATE = """
    INSERT INTO api_keys (id, secret_hash, role, customer_id, approvers, label, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id
"""
_KEY = "id, role, customer_id, approvers, label, created_at, revoked_at, expires_at, last_used_at"
_BY_HASH = f"SELECT {_KEY} FROM api_keys WHERE secret_hash = $1 AND revoked_at IS NULL"  # noqa: S608
_BY_ID = f"SELECT {_KEY} FROM api_keys WHERE id = $1"  # noqa: S608
_AMONG = f"SELECT {_KEY} FROM api_keys WHERE id = ANY($1::text[])"  # noqa: S608
_REVOKE = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING id"
# It never lasts longer than it was to last.
_EXPIRE = "UPDATE api_keys SET expires_at = least(expires_at, $2) WHERE id = $1 RETURNING id"
_USED = "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)"
_BEGIN = """
    INSERT INTO idempotency_keys AS known (api_key_id, path, key, body_hash, begun_at, done)
    VALUES ($1, $2, $3, $4, $5, false)
    ON CONFLICT (api_key_id, path, key) DO UPDATE
       SET body_hash = excluded.body_hash, begun_at = excluded.begun_at, done = false,
           status = NULL, headers = NULL, body = NULL
     WHERE known.begun_at <= $6
        OR (NOT known.done AND known.begun_at <= $7 AND known.body_hash = excluded.body_hash)
    RETURNING begun_at
"""
_KNOWN = """
    SELECT body_hash, done, status, headers::text AS headers, body FROM idempotency_keys
     WHERE api_key_id = $1 AND path = $2 AND key = $3
"""
_OURS = "api_key_id = $1 AND path = $2 AND key = $3 AND begun_at = $4 AND NOT done"
_FINISH = f"UPDATE idempotency_keys SET done = true, status = $5, headers = $6, body = $7 WHERE {_OURS} RETURNING 1"  # noqa: S608
_ABANDON = f"DELETE FROM idempotency_keys WHERE {_OURS}"  # noqa: S608
_FORGET = """
    DELETE FROM idempotency_keys WHERE (api_key_id, path, key) IN (
        SELECT api_key_id, path, key FROM idempotency_keys WHERE begun_at <= $1
         ORDER BY begun_at LIMIT 10 FOR UPDATE SKIP LOCKED)
"""


def hash_of(secret: str) -> str:
    """What is kept of a secret. It has enough entropy of its own: no salt, so that it can be looked up."""
    return sha256(secret.encode()).hexdigest()


async def create_key(pool: Fetches, key: ApiKey, secret: str) -> bool:
    """Record `key`. False when its id or its secret is known, be it a revoked one's: then nothing changes."""
    what = (key.role, key.customer_id, list(key.approvers), key.label, key.created_at, key.expires_at)
    return bool(await pool.fetch(_CREATE, key.id, hash_of(secret), *what))


async def find_key(pool: Fetches, secret: str, at: datetime | None = None) -> ApiKey | None:
    """Whose secret it is; None for an unknown or revoked one, and with `at` for one that has expired by then."""
    found = next((_key(row) for row in await pool.fetch(_BY_HASH, hash_of(secret))), None)
    return None if found and at and found.expires_at and found.expires_at <= at else found


async def key_named(pool: Fetches, key_id: str) -> ApiKey:
    """The key of that id, whatever became of it. Raises NotFound."""
    for row in await pool.fetch(_BY_ID, key_id):
        return _key(row)
    raise NotFound(f"no API key {key_id}")


async def keys_among(pool: Fetches, ids: Iterable[str]) -> dict[str, ApiKey]:
    """Those of `ids` that are keys, by id; one statement."""
    found = [_key(row) for row in await pool.fetch(_AMONG, sorted(set(ids)))]
    return {key.id: key for key in found}


async def used(pool: Fetches, key: ApiKey, at: datetime) -> None:
    """Note that `key` calls `at`; written once an hour, however often it calls."""
    if key.last_used_at is None or key.last_used_at <= at - NOTED_EVERY:
        await pool.fetch(_USED, key.id, at, at - NOTED_EVERY)


async def expire_key(pool: Fetches, key_id: str, at: datetime) -> None:
    """Nobody calls with it from `at` on, or earlier where it was to end earlier. Raises NotFound."""
    if not await pool.fetch(_EXPIRE, key_id, at):
        raise NotFound(f"no API key {key_id}")


async def revoke_key(pool: Fetches, key_id: str, at: datetime) -> None:
    """From `at` nobody calls with it; revoking again changes nothing. Raises NotFound."""
    if not await pool.fetch(_REVOKE, key_id, at):
        raise NotFound(f"no API key {key_id}")


async def begin(
    pool: Fetches, request: Request, at: datetime, *, stale_after: timedelta
) -> Fresh | Replay | InProgress | Conflict:
    """Claim `request` at `at`, or learn what became of it. Of many callers at once exactly one gets Fresh.

    Answers are kept for 30 days; each new claim drops some of those that are older.
    """
    identity = (request.api_key_id, request.path, request.key)
    while True:
        if await pool.fetch(_BEGIN, *identity, request.body_hash, at, at - KEPT_FOR, at - stale_after):
            # Whoever brings one takes some away: nothing that nobody can ask for again is kept for long.
            await pool.fetch(_FORGET, at - KEPT_FOR)
            return Fresh(request, at)
        # Gone again in between: it was abandoned, and is free.
        if known := await pool.fetch(_KNOWN, *identity):
            return _outcome(known[0], request)


async def finish(
    pool: Fetches, claim: Fresh, *, status: int, body: bytes, headers: dict[str, str] | None = None
) -> bool:
    """Keep the answer for all that ask again. False when somebody else had taken over: then theirs counts."""
    kept = json.dumps(headers or {})
    return bool(await pool.fetch(_FINISH, *_claimed(claim), status, kept, body))


async def abandon(pool: Fetches, claim: Fresh) -> None:
    """Nothing came of it (an answer of 5xx): the next caller begins afresh."""
    await pool.fetch(_ABANDON, *_claimed(claim))


def _claimed(claim: Fresh) -> tuple[str, str, str, datetime]:
    return claim.request.api_key_id, claim.request.path, claim.request.key, claim.begun_at


def _outcome(known: Record, request: Request) -> Replay | InProgress | Conflict:
    if known["body_hash"] != request.body_hash:
        return Conflict()
    if not known["done"]:
        return InProgress()
    return Replay(known["status"], known["body"], json.loads(known["headers"]))


def _key(row: Record) -> ApiKey:
    return ApiKey(
        id=row["id"],
        role=Role(row["role"]),
        created_at=row["created_at"],
        customer_id=row["customer_id"],
        approvers=tuple(row["approvers"]),
        label=row["label"],
        revoked_at=row["revoked_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
    )
