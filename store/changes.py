"""Changes: what a transaction read and what it wrote of it, so that each audit event can say what it changed."""

from domain.audit import Change, changes


class Changes:
    """One transaction's memory, by noun and id. What was read or written without being told here shows no change."""

    def __init__(self) -> None:
        self._was: dict[tuple[str, str], object] = {}
        self._is: dict[tuple[str, str], object] = {}

    def read(self, noun: str, id: str, value: object) -> None:
        """`value` is what the books held before this transaction wrote."""
        self._was.setdefault((noun, id), value)

    def wrote(self, noun: str, id: str, value: object) -> None:
        """`value` is what they hold now."""
        self._is[noun, id] = value

    def of(self, event_type: str, subject: str) -> dict[str, Change]:
        """What became of the subject of an event: of `quote.accepted` the fields of the quote that differ."""
        of = event_type.partition(".")[0], subject
        if of not in self._was or of not in self._is:
            return {}
        return changes(self._was[of], self._is[of])
