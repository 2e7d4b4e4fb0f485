"""Webhooks: the payment provider says that something happened. A hint: what became of the money is read by the collection.

    signature ──► intent ──► attempt whose outcome may be news ──► its collection is due to look, and woken
                     └─ unknown, or known already ──► nothing to do, and that is fine

So an event may come twice, late, in any order, or for something that is not ours.
"""

from fastapi import APIRouter, Request, Response

from api.answers import answer
from api.context import Doors
from api.docs import refuses
from api.problems import UnverifiedWebhook
from domain.payment import PaymentState
from providers import stripe_webhooks

routes = APIRouter(tags=["webhooks"])

# A pending attempt is being made right now: who makes it hears the answer himself. A declined one is over, unless the
# customer went on with it on his own screen.
_WAITS = frozenset({PaymentState.PROCESSING, PaymentState.REQUIRES_ACTION, PaymentState.UNKNOWN})
_GOES_ON = frozenset({"payment_intent.succeeded", "payment_intent.processing"})


@routes.post("/webhooks/stripe", openapi_extra={"security": []}, responses=refuses("unverified_webhook"))
async def take_stripe_webhook(request: Request, context: Doors) -> Response:
    """Take one event of Stripe; 200 once it is understood, whatever it says."""
    request.state.line.update(route="/webhooks/stripe")
    if not context.webhook_secret.strip():
        raise UnverifiedWebhook("no webhook secret is set: nothing can be verified")
    payload, header = await request.body(), request.headers.get("stripe-signature")
    try:
        event = stripe_webhooks.read_event(payload, header, context.webhook_secret, at=context.wall.now())
    except stripe_webhooks.UnverifiedWebhook as error:
        raise UnverifiedWebhook(str(error)) from error
    request.state.line.update(stripe_event=event.id, stripe_type=event.type)
    if event.intent_ref is None:
        return answer({"received": True})
    at = context.clock.now()
    async with context.open_books() as books:
        payment = await books.payments.by_intent(event.intent_ref)
        if payment is None or not _may_be_news(payment.state, event.type):
            return answer({"received": True})
        collection = (await books.collections.lock(payment.invoice_id)).told(at)
        await books.collections.put(collection)
    if collection.is_open:
        await context.wake(collection, at)
    return answer({"received": True})


def _may_be_news(known: PaymentState, event: str) -> bool:
    return known in _WAITS or (known is PaymentState.FAILED and event in _GOES_ON)
