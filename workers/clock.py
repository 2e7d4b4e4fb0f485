"""The clocks behind the one Clock port: the wall's, and a story's."""

from datetime import UTC, datetime


class WallClock:
    """The present, for production."""

    def now(self) -> datetime:
        """The present instant, UTC, to the microsecond."""
        return datetime.now(UTC)  # noqa: TID251  (the one place that reads the wall)


class StoryClock:
    """The instant that a simulation has reached. It is moved by its driver, and never goes back."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        """Where the story is, UTC."""
        return self._at

    def move_to(self, at: datetime) -> None:
        """The story has come to `at`."""
        self._at = max(self._at, at)
