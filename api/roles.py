"""Roles: who may do what, as one table. An admin may everything; a customer sees only what is its own.

    path of the routes ──► method ──► the roles besides admin

A route that is not in the table cannot be called.
"""

from store.access import ApiKey, Role

ADMIN_ONLY: frozenset[Role] = frozenset()
SALES = frozenset({Role.SALES})
SALES_OR_OWN = frozenset({Role.SALES, Role.CUSTOMER})
PROVISIONING = frozenset({Role.PROVISIONING})
PROVISIONING_OR_OWN = frozenset({Role.PROVISIONING, Role.CUSTOMER})
USAGE = frozenset({Role.USAGE})
USAGE_OR_OWN = frozenset({Role.USAGE, Role.CUSTOMER})
FINANCE = frozenset({Role.FINANCE})
FINANCE_OR_OWN = frozenset({Role.FINANCE, Role.CUSTOMER})
ALL = frozenset(Role)

ROLES: dict[str, dict[str, frozenset[Role]]] = {
    "/v1/catalog": {"PUT": ADMIN_ONLY, "GET": ADMIN_ONLY},
    "/v1/plans/{key}": {"GET": ADMIN_ONLY},
    "/v1/api-keys": {"POST": ADMIN_ONLY, "GET": ADMIN_ONLY},
    "/v1/api-keys/{id}": {"GET": ADMIN_ONLY, "DELETE": ADMIN_ONLY},
    "/v1/api-keys/{id}/rotate": {"POST": ADMIN_ONLY},
    "/v1/customers": {"POST": SALES, "GET": SALES},
    "/v1/customers/{id}": {"GET": SALES_OR_OWN, "PATCH": SALES},
    "/v1/customers/{id}/payment-methods": {"POST": SALES_OR_OWN},
    "/v1/quotes": {"POST": SALES, "GET": SALES_OR_OWN},
    "/v1/quotes/{id}": {"GET": SALES_OR_OWN},
    "/v1/quotes/{id}/pdf": {"GET": SALES_OR_OWN},
    "/v1/quotes/{id}/submit": {"POST": SALES},
    "/v1/quotes/{id}/approve": {"POST": SALES},
    "/v1/quotes/{id}/reject": {"POST": SALES},
    "/v1/quotes/{id}/revise": {"POST": SALES},
    "/v1/quotes/{id}/withdraw": {"POST": SALES},
    "/v1/quotes/{id}/accept": {"POST": SALES_OR_OWN},
    "/v1/orders": {"GET": PROVISIONING_OR_OWN},
    "/v1/orders/{id}": {"GET": PROVISIONING_OR_OWN},
    "/v1/orders/{id}/retry": {"POST": PROVISIONING},
    "/v1/orders/{id}/steps/{step}/complete": {"POST": PROVISIONING},
    "/v1/orders/{id}/steps/{step}/fail": {"POST": PROVISIONING},
    "/v1/subscriptions": {"GET": ALL},
    "/v1/subscriptions/{id}": {"GET": ALL},
    "/v1/subscriptions/{id}/timeline": {"GET": ALL},
    "/v1/usage": {"POST": USAGE, "GET": USAGE_OR_OWN},
    "/v1/usage/refused": {"GET": USAGE | FINANCE},
    "/v1/usage/unsold": {"GET": USAGE | FINANCE},
    "/v1/entitlements/{customer}": {"GET": USAGE_OR_OWN},
    "/v1/entitlements/{customer}/{feature}": {"GET": USAGE_OR_OWN},
    "/v1/invoices": {"GET": FINANCE_OR_OWN},
    "/v1/invoices/{id}": {"GET": FINANCE_OR_OWN},
    "/v1/invoices/{id}/pdf": {"GET": FINANCE_OR_OWN},
    "/v1/collections": {"GET": FINANCE},
    "/v1/collections/{invoice}": {"GET": FINANCE},
    "/v1/ledger/entries": {"GET": FINANCE},
    "/v1/ledger/trial-balance": {"GET": FINANCE},
    "/v1/reconciliation": {"GET": FINANCE},
    "/v1/events": {"GET": ALL},
}

_DELIVERED = frozenset({"order", "subscription", "entitlement"})
_SOLD = _DELIVERED | {"customer", "quote"}
_PAID = _SOLD | {"invoice", "payment", "collection", "credit_note", "refund"}
# Whose history a role sees, in events and timelines: that of the nouns it works with. An admin sees all.
HISTORIES: dict[Role, frozenset[str]] = {
    Role.SALES: _SOLD,
    Role.PROVISIONING: _DELIVERED,
    Role.USAGE: _DELIVERED - {"order"},
    Role.FINANCE: _PAID,
    Role.CUSTOMER: _PAID,
}

# Who carries an approver's name may read what is to be decided, and decide, whatever the role.
DECIDING = {("GET", "/v1/quotes"), ("GET", "/v1/quotes/{id}"), ("GET", "/v1/quotes/{id}/pdf")} | {
    ("POST", "/v1/quotes/{id}/approve"),
    ("POST", "/v1/quotes/{id}/reject"),
}


def may(key: ApiKey, method: str, path: str) -> bool:
    """Whether `key` may call `method` on the routes of `path`. Raises KeyError for a route that is not in the table."""
    allowed = ROLES[path][method]
    return key.role is Role.ADMIN or key.role in allowed or (bool(key.approvers) and (method, path) in DECIDING)
