"""Restart from the books: every open lifecycle is started again from its record, or found running.

For a lost namespace, after a repair, and to carry a story from the simulated clock to the real server. Starting twice is
harmless: the business id finds the first.
"""

from sqlalchemy.ext.asyncio import AsyncEngine

from activities.ports import Lifecycles
from domain.dunning import Collection
from domain.order import Order
from domain.quote import Quote
from domain.subscription import Subscription
from store.due import Lifecycle, open_lifecycles
from workflows import names


def workflow_of(record: Lifecycle) -> str:
    """The id of the workflow that runs what is recorded."""
    match record:
        case Quote():
            return names.quote_workflow(record.id)
        case Order():
            return names.order_workflow(record.id)
        case Subscription():
            return names.subscription_workflow(record.id)
        case Collection():
            return names.collection_workflow(record.invoice_id)


async def restart_everything(engine: AsyncEngine, lifecycles: Lifecycles) -> dict[str, int]:
    """Start the workflow of everything that is open; answers how many there are of each kind.

    A subscription whose invoice still waits for its first charge gets it from its collection, which is open too.
    """
    counts: dict[str, int] = {}
    for record in await open_lifecycles(engine):
        await restart(record, lifecycles)
        kind = type(record).__name__.lower() + "s"
        counts[kind] = counts.get(kind, 0) + 1
    return counts


async def restart(record: Lifecycle, lifecycles: Lifecycles) -> None:
    """Start the workflow of one open record, or find it running."""
    match record:
        case Quote():
            await lifecycles.start_quote(record)
        case Order():
            await lifecycles.start_order(record)
        case Subscription():
            await lifecycles.start_subscription(record, None)
        case Collection():
            await lifecycles.start_collection(record)
