"""Stripe's objects as its API writes them: every field that it always sends, null where it says nothing.

`tests/providers/test_stripe_sandbox_schema.py` holds them against Stripe's OpenAPI description, both ways.
"""

from typing import Any

from domain.payment import Decline
from providers.sandbox.methods import Behaviour
from providers.sandbox.problems import decline_body
from providers.sandbox.storage import Json, derived

API_VERSION = "2026-05-27.dahlia"

DECLINE_MESSAGES = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}


def decline_message(decline: Decline) -> str:
    """What Stripe says of it to people."""
    known = (DECLINE_MESSAGES[code] for code in (decline.decline_code, decline.code) if code in DECLINE_MESSAGES)
    return next(known, "Your card was declined.")


def customer(id: str, created: int, params: Json) -> Json:
    """A customer that has bought nothing yet."""
    nothing = "address currency customer_account default_source discount email name phone shipping test_clock"
    return _nulls(nothing) | {
        "id": id,
        "object": "customer",
        "balance": 0,
        "created": created,
        "delinquent": False,
        "description": params.get("description"),
        "invoice_prefix": id[-8:].upper(),
        "invoice_settings": _nulls("custom_fields default_payment_method footer rendering_options"),
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "tax_exempt": "none",
    }


def payment_method(id: str, created: int, behaviour: Behaviour, customer_ref: str | None) -> Json:
    """A saved card or account."""
    return {
        "id": id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": _billing_details(),
        behaviour.type: _method_details(behaviour),
        "created": created,
        "customer": customer_ref,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": behaviour.type,
    }


def _billing_details() -> Json:
    return _nulls("email name phone tax_id") | {
        "address": _nulls("city country line1 line2 postal_code state"),
    }


def _method_details(behaviour: Behaviour) -> Json:
    fingerprint = derived("fp", behaviour.type, behaviour.brand, behaviour.last4)[3:19]
    if behaviour.type == "sepa_debit":
        return {
            "bank_code": "37040044",
            "branch_code": "",
            "country": behaviour.country,
            "fingerprint": fingerprint,
            "generated_from": _nulls("charge setup_attempt"),
            "last4": behaviour.last4,
        }
    if behaviour.type == "us_bank_account":
        return _nulls("financial_connections_account status_details") | {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": "STRIPE TEST BANK",
            "fingerprint": fingerprint,
            "last4": behaviour.last4,
            "networks": {"preferred": "ach", "supported": ["ach"]},
            "routing_number": "110000000",
        }
    return _nulls("generated_from wallet") | {
        "brand": behaviour.brand,
        "checks": _nulls("address_line1_check address_postal_code_check") | {"cvc_check": "pass"},
        "country": behaviour.country,
        "display_brand": behaviour.brand,
        "exp_month": 12,
        "exp_year": 2040,
        "fingerprint": fingerprint,
        "funding": behaviour.funding,
        "last4": behaviour.last4,
        "networks": {"available": [behaviour.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
    }


def payment_intent(id: str, created: int, params: Json) -> Json:
    """An intent as it is born: unconfirmed, without a method unless one came along."""
    nothing = """application application_fee_amount canceled_at cancellation_reason customer_account
        excluded_payment_method_types last_payment_error latest_charge managed_payments next_action on_behalf_of
        payment_method_configuration_details processing receipt_email review setup_future_usage shipping
        statement_descriptor statement_descriptor_suffix transfer_data transfer_group"""
    method = params.get("payment_method")
    automatic = params.get("automatic_payment_methods", {})
    return _nulls(nothing) | {
        "id": id,
        "object": "payment_intent",
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "automatic_payment_methods": {
            "allow_redirects": automatic.get("allow_redirects", "always"),
            "enabled": automatic.get("enabled", "true") == "true",
        },
        "capture_method": "automatic_async",
        "client_secret": derived(f"{id}_secret", id),
        "confirmation_method": "automatic",
        "created": created,
        "currency": params["currency"],
        "customer": params.get("customer"),
        "description": params.get("description"),
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "payment_method": method,
        "payment_method_options": {
            "card": _nulls("installments mandate_options network") | {"request_three_d_secure": "automatic"}
        },
        "payment_method_types": ["card", "sepa_debit", "us_bank_account"],
        "status": "requires_confirmation" if method else "requires_payment_method",
    }


def charge(
    id: str, created: int, intent: Json, method: Json, decline: Decline | None, *, pending: bool = False
) -> Json:
    """One attempt to move the intent's money: succeeded, failed for `decline`, or pending at a bank."""
    nothing = """application application_fee application_fee_amount description failure_balance_transaction on_behalf_of
        receipt_email receipt_number review shipping source_transfer statement_descriptor statement_descriptor_suffix
        transfer_data transfer_group"""
    paid = decline is None and not pending
    return _nulls(nothing) | {
        "id": id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if decline is None else 0,
        "amount_refunded": 0,
        "balance_transaction": derived("txn", id) if decline is None else None,
        "billing_details": _billing_details(),
        "calculated_statement_descriptor": "PERENNIAL",
        "captured": decline is None,
        "created": created,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "disputed": False,
        "failure_code": decline.code if decline else None,
        "failure_message": decline_message(decline) if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "outcome": _outcome(decline),
        "paid": paid or pending,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _charged_with(method),
        "receipt_url": None,
        "refunded": False,
        "status": "failed" if decline else "pending" if pending else "succeeded",
    }


def _outcome(decline: Decline | None) -> Json:
    return {
        "advice_code": decline.advice_code if decline else None,
        "network_advice_code": decline.network_advice_code if decline else None,
        "network_decline_code": decline.network_decline_code if decline else None,
        "network_status": "declined_by_network" if decline else "approved_by_network",
        "reason": (decline.decline_code or decline.code) if decline else None,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": "The bank declined." if decline else "Payment complete.",
        "type": "issuer_declined" if decline else "authorized",
    }


def _charged_with(method: Json) -> Json:
    saved = method[method["type"]]
    if method["type"] == "sepa_debit":
        kept = {name: saved[name] for name in ("bank_code", "branch_code", "country", "fingerprint", "last4")}
        return {"type": "sepa_debit", "sepa_debit": kept | {"mandate": derived("mandate", method["id"])}}
    if method["type"] == "us_bank_account":
        names = ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number")
        kept = {name: saved[name] for name in names} | _nulls("payment_reference")
        return {"type": "us_bank_account", "us_bank_account": kept | {"mandate": derived("mandate", method["id"])}}
    names = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    kept = {name: saved[name] for name in (*names, "regulated_status", "wallet")}
    more = _nulls("amount_authorized authorization_code installments mandate network_token three_d_secure")
    number = {"network": saved["brand"], "network_transaction_id": "000000000000000"}
    return {"type": "card", "card": kept | more | number}


def refund(id: str, created: int, charge: Json, amount: int, params: Json) -> Json:
    """Money on its way back."""
    return {
        "id": id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": derived("txn", id),
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "metadata": params.get("metadata", {}),
        "payment_intent": charge["payment_intent"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


_EVIDENCE = """access_activity_log billing_address cancellation_policy cancellation_policy_disclosure
    cancellation_rebuttal customer_communication customer_email_address customer_name customer_purchase_ip
    customer_signature
    duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt
    refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation
    shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number uncategorized_file
    uncategorized_text"""


def dispute(id: str, created: int, charge: Json, reason: str) -> Json:
    """The customer's bank asks the money back; a week to answer."""
    return {
        "id": id,
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": _nulls(_EVIDENCE) | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": created + 7 * 86_400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "status": "needs_response",
    }


def event(id: str, created: int, type: str, subject: Json, request: Json | None) -> Json:
    """A snapshot of `subject`; `request` is what caused it, None when time or a bank did."""
    return {
        "id": id,
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": {"object": subject},
        "livemode": False,
        "pending_webhooks": 0,
        "request": request or {"id": None, "idempotency_key": None},
        "type": type,
    }


def last_payment_error(decline: Decline, charge_id: str, method: Json) -> Json:
    """The decline as the intent remembers it."""
    return decline_body(decline, decline_message(decline), charge=charge_id, payment_method=method)


def page(items: list[Json], url: str, *, has_more: bool = False) -> Json:
    """A list as the API answers it."""
    return {"object": "list", "data": items, "has_more": has_more, "url": url}


def _nulls(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split())
