"""Customer: who buys. Billing days are days in the customer's zone; tax follows the country."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyer:
    """A customer as a document names them. `country` is an ISO 3166 code, `address` the lines between name and country."""

    name: str
    country: str
    address: tuple[str, ...] = ()
    tax_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """`collections` names a dunning policy of the price book. `provider_ref` and `payment_method` are the payment provider's
    references; `method_label` is fit to show. `method_at` (UTC) is when the customer named that method, `method_token` in
    which request.
    """

    id: str
    key: str
    name: str
    currency: str
    created_at: datetime
    timezone: str = "UTC"
    country: str = ""
    collections: str = "default"
    tax_id: str | None = None
    email: str | None = None
    address: tuple[str, ...] = ()
    provider_ref: str | None = None
    payment_method: str | None = None
    method_label: str | None = None
    method_at: datetime | None = None
    method_token: str | None = None

    @property
    def buyer(self) -> Buyer:
        """What a document says of them."""
        return Buyer(name=self.name, country=self.country, address=self.address, tax_id=self.tax_id)
