"""What the sandbox does wrong when it is told to, each a number of times.

    rate_limit                 429, at the door: nothing happened
    unavailable                503, at the door
    timeout_before_charge      no answer, and nothing was done
    timeout_after_charge       no answer, though it was done
    in_flight                  no answer; it is done when `release` is called, until then the key is in use
    stored_500                 500, nothing done, and the same key hears it for ever
    stored_500_after_charge    500, though it was done; the same key hears it for ever

A fault of the door strikes any request, one of a charge strikes confirms, unless `on` names another operation.
"""

from dataclasses import dataclass

_AT_EVERY_REQUEST = frozenset({"rate_limit", "unavailable"})
_AT_CHARGES = frozenset(
    {"timeout_before_charge", "timeout_after_charge", "in_flight", "stored_500", "stored_500_after_charge"}
)
KINDS = _AT_EVERY_REQUEST | _AT_CHARGES


@dataclass(frozen=True, slots=True)
class Fault:
    """`times` more of `kind`, on requests of one operation ("confirm_intent", "refund" …) or on "any"."""

    kind: str
    times: int
    on: str


class Faults:
    """What is still to go wrong, in the order it was asked for."""

    def __init__(self) -> None:
        self._left: list[Fault] = []

    def add(self, kind: str, times: int = 1, on: str | None = None) -> None:
        """Let the next `times` requests fail so."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is none of {', '.join(sorted(KINDS))}")
        if times < 1:
            raise ValueError("times must be 1 or more")
        self._left.append(Fault(kind, times, on or ("any" if kind in _AT_EVERY_REQUEST else "confirm_intent")))

    def take(self, kind: str, operation: str) -> bool:
        """Whether a request of `operation` has to fail so now. Uses one up."""
        for index, fault in enumerate(self._left):
            if fault.kind == kind and fault.on in {operation, "any"}:
                rest = [Fault(kind, fault.times - 1, fault.on)] if fault.times > 1 else []
                self._left[index : index + 1] = rest
                return True
        return False

    def clear(self) -> None:
        """Nothing more goes wrong."""
        self._left.clear()

    @property
    def left(self) -> tuple[Fault, ...]:
        """What is still to come."""
        return tuple(self._left)
