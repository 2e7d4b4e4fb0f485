"""Glyphs: what the documents' fonts can print, and something readable for the rest.

    Zoë Ωmega Жук שלום ──► as it is          東京 مريم 👍 ──► DongJing mrym :thumbsup:

The fonts are those embedded in typst: Latin, Greek, Cyrillic and Hebrew, with their punctuation and signs. Letters of
other scripts are spelled in Latin ones, emoji by name; the books keep them as they were written.
"""

import re
from unicodedata import category

from anyascii import anyascii

_PRINTED = (
    "\u0020-\u0482\u048a-\u04ff"  # Latin, Greek, Cyrillic
    "\u05b0-\u05c3\u05d0-\u05f4"  # Hebrew
    "\u1e00-\u1fff"  # Latin and Greek with several accents
    "\u2010-\u2040\u2044-\u2052\u2070-\u20c0\u2100-\u211e\u2122\u2126-\u214f"  # punctuation, currencies, letterlike
    "\u2190-\u23ff\u2500-\u25ff"  # arrows, mathematics, shapes
)
_OTHERS = re.compile(f"[^{_PRINTED}]+")


def readable(text: str) -> str:
    """The text on one line, without what paper has not: control and format characters, lone surrogates, foreign letters."""
    known = text.encode("utf-8", "replace").decode("utf-8")
    spelled = _OTHERS.sub(_spelled, "".join(char for char in known if category(char) != "Cf"))
    return "".join(char if char.isprintable() or char == "\N{NO-BREAK SPACE}" else " " for char in spelled).strip()


def _spelled(found: re.Match[str]) -> str:
    return "".join(" " if char.isspace() else anyascii(char) or _unspelled(char) for char in found[0])


def _unspelled(char: str) -> str:
    """Marks that only shape their neighbours (accents, skin tones) go; of what else cannot be spelled a trace stays."""
    return "" if category(char) in {"Mn", "Mc", "Me", "Sk"} else "?"
