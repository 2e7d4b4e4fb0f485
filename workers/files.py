"""Files: the text that a command is given to read, and what is wrong with it under the file's name."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import InvalidInput


def text_of(path: str | Path) -> str:
    """The text in the file at `path` ("-": standard input). Raises InvalidInput that says why it cannot be read."""
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
        return raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        why = f"is not UTF-8 text: byte {error.start} is none" if isinstance(error, UnicodeDecodeError) else None
        raise InvalidInput(why or f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def named(path: str | Path) -> str:
    """What a person calls it."""
    return "standard input" if str(path) == "-" else str(path)


@contextmanager
def naming(path: str | Path) -> Generator[None]:
    """Let a refusal of what stands in the file begin with the file's name."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{named(path)}: {error.detail}", error.errors) from error
