"""The sandbox's refusals, in the words and shapes of Stripe's.

`stored` tells whether the idempotency layer keeps the answer: it keeps what was carried out, a decline too, and not
what was turned away at the door.
"""

from domain.payment import Decline
from providers.sandbox.storage import Json


class Problem(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, error: Json, *, stored: bool = False) -> None:
        super().__init__(error["message"])
        self.status = status
        self.body: Json = {"error": error}
        self.stored = stored


def invalid(message: str, param: str | None = None, code: str | None = None) -> Problem:
    """A request that is wrong in itself."""
    return Problem(400, _error("invalid_request_error", message, code=code, param=param))


def missing(noun: str, ref: str, param: str) -> Problem:
    """An id that nothing is known under: 404 in a path, 400 in a parameter."""
    status = 404 if param in {"id", "intent"} else 400
    return Problem(
        status, _error("invalid_request_error", f"No such {noun}: '{ref}'", code="resource_missing", param=param)
    )


def unexpected_state(intent: Json, verb: str) -> Problem:
    """The verb does not fit the state that the intent is in; the intent comes along."""
    message = f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}."
    return Problem(
        400,
        _error("invalid_request_error", message, code="payment_intent_unexpected_state", payment_intent=intent),
        stored=True,
    )


def card_error(decline: Decline, message: str, **more: object) -> Problem:
    """A decline; `more` is what it was about."""
    return Problem(402, decline_body(decline, message, **more), stored=True)


def decline_body(decline: Decline, message: str, **more: object) -> Json:
    """A decline as it stands in an error, and in an intent's last_payment_error. Codes that say nothing are absent."""
    return _error(
        "card_error",
        message,
        code=decline.code,
        decline_code=decline.decline_code,
        advice_code=decline.advice_code,
        network_advice_code=decline.network_advice_code,
        network_decline_code=decline.network_decline_code,
        **more,
    )


def other_parameters(key: str) -> Problem:
    """The key has been used for something else."""
    return Problem(
        400,
        _error(
            "idempotency_error",
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{key}' if you meant to execute a different request.",
        ),
    )


def key_in_use(key: str) -> Problem:
    """The first request under the key is still being carried out."""
    message = f"There is currently another in-progress request using this Idempotent Key: {key}. Try again later."
    return Problem(409, _error("idempotency_error", message, code="idempotency_key_in_use"))


def locked() -> Problem:
    """Another request is at work on the same object."""
    message = "This object cannot be accessed right now because another API request is currently accessing it."
    return Problem(429, _error("invalid_request_error", message, code="lock_timeout"))


def too_many() -> Problem:
    """The rate limit."""
    return Problem(429, _error("invalid_request_error", "Request rate limit exceeded.", code="rate_limit"))


def unauthorized(message: str) -> Problem:
    """No key, or one that must never come here."""
    return Problem(401, _error("invalid_request_error", message))


def broken(status: int) -> Problem:
    """Stripe's own failure."""
    return Problem(status, _error("api_error", "An error occurred. (The sandbox was told to.)"), stored=True)


def _error(type: str, message: str, **fields: object) -> Json:
    return {"type": type, "message": message} | {name: value for name, value in fields.items() if value is not None}
