"""Keys: a caller's own name for a thing, usable in place of its id in every path."""

import re
from collections.abc import Iterator

from domain.errors import FieldError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:@+-]{0,99}")
_LIKE_AN_ID = re.compile(r"[a-z]{2,3}_[0-9a-f]{32}")


def key_errors(key: str | None, loc: tuple[str | int, ...] = ("key",)) -> Iterator[FieldError]:
    """What is wrong with `key`, if it is given."""
    if key is None:
        return
    if not _KEY.fullmatch(key):
        yield FieldError(loc, "must be 1 to 100 letters, digits or . _ ~ : @ + -, beginning with a letter or digit")
    elif _LIKE_AN_ID.fullmatch(key):
        yield FieldError(loc, "looks like an id of ours; choose a name of your own")
