"""What a quote, and each verb on it, is asked with. Types, nothing else."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import Field, StringConstraints

from domain.offer import OfferedLine
from domain.quote import VALID_FOR

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQuote:
    """An offer as it is asked for."""

    customer: str
    lines: tuple[OfferedLine, ...]
    key: str | None = None
    valid_for: timedelta = VALID_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The whole new set of lines."""

    lines: tuple[OfferedLine, ...]
    valid_for: timedelta = VALID_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """In whose name it is decided; a key that carries one approver's name needs not say it."""

    approver: Annotated[Name | None, Field(alias="as")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Who takes the offer, as they call themselves."""

    accepted_by: Name | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """A verb that takes nothing."""
