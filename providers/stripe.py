"""Stripe as the PaymentProvider: one unconfirmed intent per invoice, one confirm per attempt.

    create   no money moves: when its answer is lost, at most an idle intent is left behind
    confirm  money moves: when its answer is lost, the intent can be read at any later time

    Stripe's answer                               what the port hears
    402 on a confirm                              an Intent: FAILED with its decline, or where the intent parked
    400 "it already is" with the intent           that Intent: an earlier confirm or cancel got there first
    other 4xx                                     ProviderRejected
    401 403 409 429, or never sent                ProviderUnavailable: nothing happened
    5xx, no answer, a garbled one, cancelled      OutcomeUnknown; of a mere read ProviderUnavailable

Codes, reasons and request ids go into the port's errors, no more: a Stripe error carries whole answers, secrets too.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol, TypeVar

import httpx
import stripe

from activities.ports import Intent, OutcomeUnknown, PaymentMethod, ProviderRejected, ProviderUnavailable
from domain.money import Money, exponent
from domain.payment import CANCELED, Decline, PaymentState

# Otherwise the client writes an id of this machine into the home folder, and sends it with timings and the platform.
stripe.enable_telemetry = False

# The version whose OpenAPI description the tests hold requests and answers against.
API_VERSION = "2026-05-27.dahlia"

_Answer = TypeVar("_Answer")

# Stripe keeps lists of its own. MGA has no decimals there; ISK and UGX have two, always zero.
_NO_DECIMALS = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())
_WHOLE_WITH_TWO_DECIMALS = frozenset("ISK UGX".split())
_THREE_DECIMALS_LAST_ZERO = frozenset("BHD JOD KWD OMR TND".split())

_STATES = {
    "requires_confirmation": PaymentState.PENDING,
    "requires_action": PaymentState.REQUIRES_ACTION,
    "processing": PaymentState.PROCESSING,
    "requires_capture": PaymentState.PROCESSING,  # authorised by a person in the dashboard: not ours yet
    "succeeded": PaymentState.SUCCEEDED,
    "canceled": PaymentState.FAILED,
}

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


def stripe_amount(money: Money) -> int:
    """`money` in the unit that Stripe counts its currency in. Raises ProviderRejected for what it cannot carry."""
    ours, theirs = exponent(money.currency), _decimals(money.currency)
    if theirs is None:
        raise ProviderRejected(f"Stripe does not charge in {money.currency}")
    amount, rest = divmod(money.minor * 10**theirs, 10**ours)
    if rest or amount <= 0 or (theirs == 3 and amount % 10):
        raise ProviderRejected(f"Stripe cannot carry {money.text} {money.currency}")
    return amount


def _decimals(currency: str) -> int | None:
    """How many decimals Stripe counts `currency` with; None if it does not charge in it."""
    if currency in _NO_DECIMALS:
        return 0
    if currency in _THREE_DECIMALS_LAST_ZERO:
        return 3
    return 2 if exponent(currency) == 2 or currency in _WHOLE_WITH_TWO_DECIMALS else None


def _money(amount: int, currency: str) -> Money | None:
    """Money from Stripe's unit; None where ours cannot say it."""
    theirs = _decimals(currency)
    minor, rest = divmod(amount * 10 ** exponent(currency), 10 ** (theirs or 0))
    return None if theirs is None or rest else Money(minor, currency)


class StripePayments:
    """The official asynchronous client behind our port. Retries are the caller's: each call asks once."""

    def __init__(
        self,
        api_key: str,
        *,
        address: str | None = None,
        timeout_seconds: float = 15.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`address` is another Stripe than the real one ("http://127.0.0.1:8090"); `transport` replaces the network."""
        # The environment's proxy is the way out to Stripe; what is named by `address` is near.
        self._http = _Http(timeout_seconds, transport, trust_env=address is None)
        self._timeout_seconds = timeout_seconds
        self._stripe = stripe.StripeClient(
            _given(api_key, "api_key"),
            stripe_version=API_VERSION,
            base_addresses={} if address is None else {"api": address.rstrip("/")},
            max_network_retries=0,
            http_client=self._http,
        )

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.close_async()

    async def create_customer(self, *, customer_id: str, key: str) -> str:
        """The provider's reference for our customer. No name or address leaves us: Stripe learns an id."""
        call = self._stripe.v1.customers.create_async(
            {"metadata": {"customer": _given(customer_id, "customer_id")}}, _under(key)
        )
        return (await self._answer(call, moves=True)).id

    async def attach_method(self, *, customer_ref: str, method: str, key: str) -> PaymentMethod:
        """Save `method`. One that a setup on the customer's own screen has saved already is fine as it is."""
        methods = self._stripe.v1.payment_methods
        attach = methods.attach_async(
            _given(method, "method"), {"customer": _given(customer_ref, "customer_ref")}, _under(key)
        )
        try:
            return _method(await self._answer(attach, moves=True))
        except ProviderRejected:
            known = await self._answer(methods.retrieve_async(method), moves=False)
            if _ref(known.customer) != customer_ref:
                raise
            return _method(known)

    async def create_intent(self, *, customer_ref: str, amount: Money, invoice_id: str, key: str) -> Intent:
        """An unconfirmed intent to collect `amount`: no money moves. State PENDING."""
        call = self._stripe.v1.payment_intents.create_async(
            {
                "amount": stripe_amount(amount),
                "currency": amount.currency.lower(),
                "customer": _given(customer_ref, "customer_ref"),
                # Nobody is there to be redirected.
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                "metadata": {"invoice": _given(invoice_id, "invoice_id")},
            },
            _under(key),
        )
        return await self._answer(_intent(call), moves=True)

    async def confirm_intent(self, *, intent_ref: str, method_ref: str, key: str) -> Intent:
        """Try to collect now, off session, on `method_ref`. An intent that is past collecting answers as it stands."""
        call = self._stripe.v1.payment_intents.confirm_async(
            _given(intent_ref, "intent_ref"),
            {"payment_method": _given(method_ref, "method_ref"), "off_session": True},
            _under(key),
        )
        return await self._answer(_intent(call), moves=True)

    async def read_intent(self, *, intent_ref: str) -> Intent:
        """What the provider knows of it now."""
        call = self._stripe.v1.payment_intents.retrieve_async(_given(intent_ref, "intent_ref"))
        return await self._answer(_intent(call), moves=False)

    async def cancel_intent(self, *, intent_ref: str, key: str) -> Intent:
        """Give the intent up: FAILED with decline CANCELED. Where the money was faster, the state that it is in."""
        call = self._stripe.v1.payment_intents.cancel_async(
            _given(intent_ref, "intent_ref"), {"cancellation_reason": "abandoned"}, _under(key)
        )
        return await self._answer(_intent(call), moves=True)

    async def refund(self, *, intent_ref: str, amount: Money, key: str) -> str:
        """Send `amount` back; answers the refund's reference. It may still fail days later: a webhook tells."""
        call = self._stripe.v1.refunds.create_async(
            {"payment_intent": _given(intent_ref, "intent_ref"), "amount": stripe_amount(amount)}, _under(key)
        )
        return (await self._answer(call, moves=True)).id

    async def _answer(self, call: Coroutine[Any, Any, _Answer], *, moves: bool) -> _Answer:
        """The answer to `call`, or one of the port's errors, which are not chained to Stripe's.

        `moves`: it may have done something when no answer comes.
        """
        unheard = OutcomeUnknown if moves else ProviderUnavailable
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await call
        except stripe.StripeError as error:
            raise _translated(error, unheard) from None
        except _NEVER_SENT as error:
            raise ProviderUnavailable(f"Stripe was not reached: {type(error).__name__}") from None
        except (httpx.RequestError, TimeoutError) as error:
            raise unheard(f"Stripe did not answer: {type(error).__name__}") from None
        except asyncio.CancelledError:
            # Stripe carries a request out whether or not anybody still listens.
            if not moves:
                raise
            raise OutcomeUnknown("cancelled while Stripe was being asked") from None


class _Http(stripe.HTTPClient):
    """httpx for Stripe's client, whose own takes no transport and calls every exception the network's."""

    name = "httpx"

    def __init__(self, timeout_seconds: float, transport: httpx.AsyncBaseTransport | None, *, trust_env: bool) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  a private parameter of theirs has no type
        self._async_client = httpx.AsyncClient(timeout=timeout_seconds, transport=transport, trust_env=trust_env)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        response = await self._async_client.request(method, url, headers=dict(headers), content=post_data or "")
        return response.content, response.status_code, response.headers

    async def close_async(self) -> None:
        await self._async_client.aclose()


def _given(text: str, name: str) -> str:
    """`text`, which must not be empty: Stripe's client makes up an empty key, and reads the list for an empty id."""
    if not text.strip():
        raise ValueError(f"{name} is empty")
    return text


def _under(key: str) -> stripe.RequestOptions:
    if len(_given(key, "key")) > 255:
        raise ValueError("an idempotency key has at most 255 characters")
    return {"idempotency_key": key}


async def _intent(call: Coroutine[Any, Any, stripe.PaymentIntent]) -> Intent:
    """The intent that `call` answers with, also where Stripe sends it along with a refusal."""
    try:
        return _seen(await call)
    except stripe.CardError as error:
        if error.error is None or error.error.payment_intent is None:
            raise
        return _seen(error.error.payment_intent, error.error)
    except stripe.InvalidRequestError as error:
        if error.code != "payment_intent_unexpected_state" or error.error is None or error.error.payment_intent is None:
            raise
        intent = error.error.payment_intent
        if intent.status in {"requires_payment_method", "requires_confirmation"}:
            raise
        return _seen(intent)


def _seen(intent: stripe.PaymentIntent, problem: object = None) -> Intent:
    """`intent` in our words; `problem` is the decline it came with, or else its last one."""
    if intent.status == "requires_payment_method":
        problem = problem or intent.last_payment_error
        decline = _decline(problem) if problem else None
        state = PaymentState.FAILED if problem else PaymentState.PENDING
    else:
        decline = CANCELED if intent.status == "canceled" else None
        state = _STATES[intent.status]
    counted = intent.amount_received if state is PaymentState.SUCCEEDED else intent.amount
    amount = _money(counted, intent.currency.upper())
    return Intent(ref=intent.id, state=state, charge_ref=_ref(intent.latest_charge), decline=decline, amount=amount)


def _decline(problem: object) -> Decline:
    """The codes of an error body or a last_payment_error; one that says nothing is left out of the JSON."""
    return Decline(
        code=getattr(problem, "code", None),
        decline_code=getattr(problem, "decline_code", None),
        advice_code=getattr(problem, "advice_code", None),
        network_decline_code=getattr(problem, "network_decline_code", None),
        network_advice_code=getattr(problem, "network_advice_code", None),
    )


class _Identified(Protocol):
    id: str


def _ref(expandable: "str | _Identified | None") -> str | None:
    return expandable if expandable is None or isinstance(expandable, str) else expandable.id


def _method(method: stripe.PaymentMethod) -> PaymentMethod:
    """`method` with a label fit to show: the brand, or else the type, and the last four digits where it has any."""
    details = getattr(method, method.type, None)
    brand = str(getattr(details, "brand", None) or method.type)
    last4 = getattr(details, "last4", None)
    return PaymentMethod(ref=method.id, label=f"{brand} •{last4}" if last4 else brand)


def _translated(error: stripe.StripeError, unheard: type[Exception]) -> Exception:
    """The port's word for an error answer; `unheard` is the one for "it may have happened"."""
    status = error.http_status or 0
    code = error.error.code if error.error else None
    replayed = ", replayed" if (error.headers or {}).get("idempotent-replayed") else ""
    label = f"Stripe answered {status} {code or type(error).__name__}{replayed} ({error.request_id})"
    if status in {401, 403, 409, 429} or isinstance(error, stripe.RateLimitError):
        return ProviderUnavailable(label)
    if 400 <= status < 500:
        about = f"{getattr(error.error, 'param', None) or ''} {code or ''}"
        return ProviderRejected(f"{label}: {error.user_message}", of_method="payment_method" in about)
    return unheard(label)
