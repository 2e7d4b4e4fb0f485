"""Printing: tables and lines for people; as wide as what they say when nobody's terminal has a say in it."""

from typing import Any, TextIO

from rich.console import Console

_UNBOUNDED = 10_000


def console_on(out: TextIO) -> Console:
    """A console that wraps at the terminal's width, and in a file or pipe not at all."""
    return Console(file=out, highlight=False, soft_wrap=True, width=None if out.isatty() else _UNBOUNDED)


def instant(value: Any) -> str:  # noqa: ANN401
    """An instant of the API's as `2026-07-01 08:00`, UTC; anything else as its text, nothing as none."""
    text = "" if value is None else str(value)
    return text[:16].replace("T", " ") if text.endswith("Z") and len(text) >= 20 else text
