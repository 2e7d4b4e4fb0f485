"""Access: who calls, and what of the books is theirs.

Only the hash of a key is stored. What belongs to another customer does not exist for a customer's key: 404, not 403.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, cast

from fastapi import Depends, Request

from api.context import Context
from api.problems import Forbidden, Unauthorized
from api.roles import may
from domain.errors import NotAnApprover, NotFound
from store.access import ApiKey, Role, find_key, used

_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: who makes it, at what instant, and a `token` that is the same when it is made again.

    A caller who sends an Idempotency-Key has a token that derives from it; otherwise nobody else ever has this one.
    """

    key: ApiKey
    token: str
    at: datetime

    @property
    def customer_id(self) -> str | None:
        """Whose the caller is; None for our own people and systems, who see everything."""
        return self.key.customer_id

    def name(self, letter: str) -> str:
        """A key for what was given none: the same when the request is made again."""
        return f"{letter}-{sha256(self.token.encode()).hexdigest()[:20]}"

    @property
    def actor(self) -> str:
        """Who did it, as the audit trail says: the id of the key."""
        return self.key.id

    def sees(self, customer_id: str, what: str) -> None:
        """Raises NotFound, as if there were no `what`, when it belongs to another customer."""
        if self.customer_id is not None and self.customer_id != customer_id:
            raise NotFound(f"no {what}")

    def decides_as(self, approver: str) -> None:
        """Raises NotAnApprover unless the caller may decide in the name of `approver`; "" is nobody's name."""
        if approver and self.key.role is not Role.ADMIN and approver not in self.key.approvers:
            raise NotAnApprover(f"this API key does not decide in the name of {approver}")


async def identified(request: Request, context: Context) -> ApiKey:
    """Whose key the request carries. Raises Unauthorized."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise Unauthorized()
    now = context.clock.now()
    found = await find_key(context.pool, secret, now) if len(secret) <= _LONGEST and secret.isascii() else None
    if found is None:
        raise Unauthorized("this API key is not known, has expired, or was revoked")
    await used(context.pool, found, now)
    return found


def allow(key: ApiKey, method: str, path: str) -> None:
    """Raises Forbidden unless the table of roles lets `key` call `method` on `path`."""
    if not may(key, method, path):
        raise Forbidden(f"an API key of role {key.role} may not {method} {path}")


def token_of(key: ApiKey, path: str, idempotency_key: str | None, context: Context) -> str:
    """What names this request, and every repetition of it that carries the same Idempotency-Key."""
    if idempotency_key is None:
        return context.entropy()
    return sha256(f"{key.id}\n{path}\n{idempotency_key}".encode()).hexdigest()[:32]


async def call_of(request: Request) -> Call:
    """The call that `endpoint.Endpoint` has let in."""
    return cast(Call, request.state.call)


Calling = Annotated[Call, Depends(call_of)]
