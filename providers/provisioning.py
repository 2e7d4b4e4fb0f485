"""A provisioning target over HTTP: what was sold becomes usable by POST, and unusable again by DELETE.

    200                          done
    202                          waiting: the target calls back
    401 403 408 409 425 429      ProviderUnavailable: it did not look at the step; ask again under the same key
    other 4xx                    failed: it will never do this
    5xx, no answer               ProviderUnavailable

Each once per key, so asking again is always safe.
"""

import asyncio
from typing import cast
from urllib.parse import quote

import httpx

from activities.ports import ProviderUnavailable, StepAnswer

# Our credentials are refused, it is busy, or it is still at it.
_NOT_CARRIED_OUT = frozenset({401, 403, 408, 409, 425, 429})


class HttpProvisioning:
    """The target at one address."""

    def __init__(
        self,
        address: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 15.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`api_key` is sent as a bearer token; `transport` replaces the network."""
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(
            base_url=address, headers=headers, timeout=timeout_seconds, transport=transport, trust_env=False
        )

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.aclose()

    async def provision(self, *, order_id: str, step: str, payload: dict[str, str], key: str) -> StepAnswer:
        """Do one step of an order, once per `key`."""
        return _answer(await self._asked("POST", order_id, step, key, payload))

    async def undo(self, *, order_id: str, step: str, key: str) -> StepAnswer:
        """Take back what `provision` did for this step; fine when there is nothing to take back."""
        response = await self._asked("DELETE", order_id, step, key, None)
        if response.status_code in {404, 410}:
            return StepAnswer(state="done", detail=_detail(response))
        return _answer(response)

    async def _asked(
        self, method: str, order_id: str, step: str, key: str, payload: dict[str, str] | None
    ) -> httpx.Response:
        for name, value in {"order_id": order_id, "step": step, "key": key}.items():
            if not value.strip():
                raise ValueError(f"{name} is empty")
        url = f"/orders/{quote(order_id, safe='')}/steps/{quote(step, safe='')}"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._client.request(method, url, json=payload, headers={"Idempotency-Key": key})
        except (httpx.RequestError, TimeoutError) as error:
            raise ProviderUnavailable(f"the provisioning target did not answer: {type(error).__name__}") from None


def _answer(response: httpx.Response) -> StepAnswer:
    """What an answer means for the step."""
    status, detail = response.status_code, _detail(response)
    if status == 202:
        return StepAnswer(state="waiting", detail=detail)
    if response.is_success:
        return StepAnswer(state="done", detail=detail)
    if 400 <= status < 500 and status not in _NOT_CARRIED_OUT:
        return StepAnswer(state="failed", detail=detail or f"the provisioning target answered {status}")
    raise ProviderUnavailable(f"the provisioning target answered {status}")


def _detail(response: httpx.Response) -> str:
    """The answer's `detail`, for people; empty when it has none."""
    try:
        body = response.json()
    except ValueError:
        return ""
    detail = cast("dict[str, object]", body).get("detail") if isinstance(body, dict) else None
    return detail[:500] if isinstance(detail, str) else ""
