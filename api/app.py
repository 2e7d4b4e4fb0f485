"""The app: every router over one context."""

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import (
    api_keys,
    catalog,
    collections,
    customers,
    docs,
    entitlements,
    events,
    health,
    invoices,
    ledger,
    metered,
    metrics,
    orders,
    problems,
    quotes,
    reconciliation,
    subscriptions,
    unsold,
    usage,
    webhooks,
)
from api.context import Context
from api.edge import Edge

ROUTERS = (
    catalog.routes,
    customers.routes,
    quotes.routes,
    orders.routes,
    subscriptions.routes,
    usage.routes,
    metered.routes,
    unsold.routes,
    entitlements.routes,
    invoices.routes,
    collections.routes,
    ledger.routes,
    reconciliation.routes,
    events.routes,
    api_keys.routes,
    webhooks.routes,
    health.routes,
    metrics.routes,
)


def create_app(context: Context) -> FastAPI:
    """The HTTP API over `context`, with /docs, all of it from here, and /openapi.json. Whoever opened the doors closes them."""
    app = FastAPIOffline(
        title="Perennial",
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.context = context
    # As they are: a router that is included has each of its routes built once more for every app.
    app.router.routes.extend(route for routes in ROUTERS for route in routes.routes)
    problems.install(app)
    docs.document(app)
    app.add_middleware(Edge)
    return app
