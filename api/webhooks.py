"""Webhooks: the payment provider says that something happened. A hint: what became of the money is read by the collection.

    signature ──► intent ──► attempt that waits for its outcome ──► its collection looks again
                     └─ unknown, or known already ──► nothing to do, and that is fine

So an event may come twice, late, in any order, or for something that is not ours.
"""

from fastapi import APIRouter, Request, Response

from api.answers import answer
from api.context import Doors
from api.problems import UnverifiedWebhook
from api.sending import wake
from domain.payment import PaymentState
from providers import stripe_webhooks

routes = APIRouter(tags=["webhooks"])

# A pending attempt is being made right now: who makes it hears the answer himself.
_WAITS = frozenset({PaymentState.PROCESSING, PaymentState.REQUIRES_ACTION, PaymentState.UNKNOWN})


@routes.post("/webhooks/stripe", openapi_extra={"security": []})
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
    async with context.open_books() as books:
        payment = await books.payments.by_intent(event.intent_ref)
        if payment is None or payment.state not in _WAITS:
            return answer({"received": True})
        collection = await books.collections.get(payment.invoice_id)
    if collection.is_open:
        await wake(context, collection, context.clock.now())
    return answer({"received": True})
