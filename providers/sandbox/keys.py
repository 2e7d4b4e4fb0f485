"""Idempotency keys as Stripe's v1 keeps them: the first answer, whatever it was, until it is forgotten.

Forgotten is a new request: whoever resends after a day charges twice, and is found out here.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import JSONResponse, Response

from providers.sandbox import problems
from providers.sandbox.objects import API_VERSION
from providers.sandbox.storage import Json, Storage

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to."""

    status: int
    body: Json
    request_id: str
    replayed: bool = False

    def response(self, key: str) -> Response:
        """As HTTP, with the headers that tell a replay."""
        headers = {"Request-Id": self.request_id, "Idempotency-Key": key, "Stripe-Version": API_VERSION}
        if self.replayed:
            headers |= {"Idempotent-Replayed": "true", "Original-Request": self.request_id}
        return JSONResponse(self.body, self.status, headers)


class Keys:
    """The answers given so far. The empty key keeps nothing."""

    def __init__(self, storage: Storage, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._clock = clock

    def replay(self, key: str, path: str, params: Json) -> Answer | None:
        """The answer given under `key`, None when there was none. Raises Problem where something else was asked."""
        known = self._storage.get("key", key) if key else None
        if known is None or known["at"] + KEPT.total_seconds() <= self._clock().timestamp():
            return None
        if known["asked"] != _asked(path, params):
            raise problems.other_parameters(key)
        return Answer(known["status"], known["body"], known["request_id"], replayed=True)

    def cause(self, key: str) -> str:
        """What a new request's ids derive from: its key and how often that was forgotten; without one, its number."""
        if not key:
            number = str(self._storage.count("unkeyed", ""))
            self._storage.put("unkeyed", number, {})
            return f"unkeyed/{number}"
        known = self._storage.get("key", key)
        return f"{known['cause']}/again" if known else key

    def keep(self, key: str, path: str, params: Json, cause: str, answer: Answer) -> None:
        """Remember `answer`. Called in the transaction of what it answers for."""
        if key:
            what = {"asked": _asked(path, params), "cause": cause, "at": int(self._clock().timestamp())}
            how = {"status": answer.status, "body": answer.body, "request_id": answer.request_id}
            self._storage.put("key", key, what | how)


def _asked(path: str, params: Json) -> str:
    return json.dumps([path, params], sort_keys=True)
