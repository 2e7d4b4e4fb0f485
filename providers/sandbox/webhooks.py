"""Signed webhooks: to an address or a callback, retried for three days; held, doubled, reversed or lost on demand.

    account writes an event ──> waiting ──flush──> done
                                  │  └── refused: again after a while, by the sandbox's clock
                                  └── held: until `release`

Unlike its data, the stamp of a signature is the wall clock's: the listener's tolerance is.
"""

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import httpx

from providers.sandbox.storage import Json, Storage

Deliver = Callable[[bytes, str], Awaitable[int]]
"""Takes the raw body and the Stripe-Signature header; answers an HTTP status."""

# What our endpoint subscribes to. All other events are only listed.
SUBSCRIBED = frozenset(
    """
    payment_intent.succeeded payment_intent.payment_failed payment_intent.processing payment_intent.requires_action
    payment_intent.canceled payment_method.attached payment_method.detached charge.refunded charge.dispute.created
    charge.dispute.closed charge.dispute.funds_withdrawn charge.dispute.funds_reinstated
    """.split()
)

_AGAIN_AFTER = [timedelta(minutes=minutes) for minutes in (1, 10, 60, 6 * 60, 12 * 60, 24 * 60, 24 * 60)]

logger = logging.getLogger(__name__)


def signature(payload: bytes, secret: str, at: datetime) -> str:
    """The Stripe-Signature header of `payload`, signed at `at`."""
    stamp = str(int(at.timestamp()))
    return f"t={stamp},v1={hmac.digest(secret.encode(), stamp.encode() + b'.' + payload, 'sha256').hex()}"


class Webhooks:
    """The way out of one account's events."""

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Callable[[], datetime],
        secret: str,
        target: str | Deliver | None,
        wall_clock: Callable[[], datetime] | None = None,
    ) -> None:
        """`target` is a URL, a callback or nobody. Signatures are stamped by `wall_clock`, if that is not `clock`."""
        if target is not None and not secret:
            raise ValueError("webhooks need a secret to be signed with")
        self._storage = storage
        self._clock = clock
        self._wall_clock = wall_clock or clock
        self._secret = secret
        self._target = target
        self._held = False
        self._sending = asyncio.Lock()

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._target is not None

    @property
    def next_at(self) -> int | None:
        """When the next one goes out, as a timestamp; None while they are held."""
        waiting = [] if self._held else self._storage.all("delivery", "waiting")
        return min((delivery["next_at"] for delivery in waiting), default=None)

    def enqueue(self, event: Json) -> None:
        """Let `event` go out at the next flush. Called within the transaction that made it."""
        if self._target is not None and event["type"] in SUBSCRIBED:
            delivery = {"event": event["id"], "attempts": 0, "next_at": int(self._clock().timestamp())}
            self._storage.put("delivery", event["id"], delivery, parent="waiting")

    async def flush(self) -> None:
        """Send what is due, oldest first, unless held."""
        if not self._held:
            await self._send_waiting(times=1, newest_first=False, only_due=True)

    def hold(self) -> None:
        """Send nothing until `release`: late webhooks."""
        self._held = True

    async def release(self, *, times: int = 1, newest_first: bool = False) -> None:
        """Send all that waits, each `times` times (0: they are lost), and go on as usual."""
        self._held = False
        await self._send_waiting(times=times, newest_first=newest_first, only_due=False)

    async def resend(self, event_id: str) -> int:
        """Send an event again, delivered or not. Answers the listener's status."""
        event = self._storage.get("event", event_id)
        if event is None:
            raise KeyError(event_id)
        return await self._send(event)

    def undelivered(self) -> set[str]:
        """Ids of the events that were to go out and that nobody has taken yet."""
        states = ("waiting", "given_up")
        return {delivery["event"] for state in states for delivery in self._storage.all("delivery", state)}

    async def _send_waiting(self, *, times: int, newest_first: bool, only_due: bool) -> None:
        async with self._sending:
            waiting = self._storage.all("delivery", "waiting")
            now = int(self._clock().timestamp())
            for delivery in reversed(waiting) if newest_first else waiting:
                if only_due and delivery["next_at"] > now:
                    continue
                statuses = [await self.resend(delivery["event"]) for _ in range(times)]
                self._note(delivery, taken=all(200 <= status < 300 for status in statuses))

    def _note(self, delivery: Json, *, taken: bool) -> None:
        attempts: int = delivery["attempts"] + 1
        state = "done" if taken else "waiting" if attempts <= len(_AGAIN_AFTER) else "given_up"
        if state == "waiting":
            delivery = delivery | {"next_at": int((self._clock() + _AGAIN_AFTER[attempts - 1]).timestamp())}
        self._storage.put("delivery", delivery["event"], delivery | {"attempts": attempts}, parent=state)

    async def _send(self, event: Json) -> int:
        """The listener's status; 0 when it did not answer."""
        payload = json.dumps(event | {"pending_webhooks": 1}, separators=(",", ":")).encode()
        header = signature(payload, self._secret, self._wall_clock())
        try:
            if callable(self._target):
                return await self._target(payload, header)
            headers = {"Stripe-Signature": header, "Content-Type": "application/json; charset=utf-8"}
            async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
                return (await client.post(str(self._target), content=payload, headers=headers)).status_code
        except httpx.HTTPError as error:
            logger.warning("webhook %s was not taken: %s", event["id"], type(error).__name__)
        except Exception:
            logger.exception("webhook %s broke its listener", event["id"])
        return 0
