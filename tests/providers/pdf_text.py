"""The text of a PDF, read from its page streams with nothing but the standard library.

As much of PDF as typst writes: no object streams, fonts of two-byte glyphs with a ToUnicode map. A glyph that stands
for nothing (the box of a letter that no font has) reads as U+FFFD.
"""

import re
import zlib

MISSING = "\N{REPLACEMENT CHARACTER}"

_TOKEN = re.compile(
    rb"(?P<actual>/ActualText)|(?P<skipped>/Lang\b)|/(?P<font>f\d+) [\d.]+ Tf|(?P<over>\bEMC\b)|(?P<end>\bET\b)"
    rb"|(?P<string>\()|<(?P<hex>[0-9A-F]+)>"
)
_ESCAPED = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_NAMED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def pages(pdf: bytes) -> list[str]:
    """The text of every page: the runs in the order in which they are drawn, one a line."""
    objects = {int(found[1]): found[2] for found in re.finditer(rb"(\d+) 0 obj\n(.*?)\nendobj", pdf, re.DOTALL)}
    tree = next(body for body in objects.values() if b"/Type/Pages" in body)
    texts: list[str] = []
    for kid in re.findall(rb"(\d+) 0 R", tree.split(b"/Kids[")[1].split(b"]")[0]):
        page = objects[int(kid)]
        fonts = {
            name: _glyphs(_stream(objects[_reference(objects[int(ref)], b"ToUnicode")]))
            for name, ref in re.findall(rb"/(f\d+) (\d+) 0 R", objects[_reference(page, b"Resources")])
        }
        texts.append(_page_text(_stream(objects[_reference(page, b"Contents")]), fonts))
    return texts


def _stream(body: bytes) -> bytes:
    return zlib.decompress(body.split(b"stream\n", 1)[1].rsplit(b"\nendstream", 1)[0])


def _reference(body: bytes, key: bytes) -> int:
    found = re.search(rb"/" + key + rb" (\d+) 0 R", body)
    assert found, key
    return int(found[1])


def _glyphs(cmap: bytes) -> dict[int, str]:
    """What each glyph of a font stands for."""
    pairs = re.findall(rb"<([0-9A-F]{4})> <([0-9A-F]+)>\n", cmap.split(b"endcodespacerange")[1])
    return {int(code, 16): bytes.fromhex(text.decode()).decode("utf-16-be") for code, text in pairs}


def _string(content: bytes, start: int) -> tuple[bytes, int]:
    """The literal string that opens before `start`, and where it ends. Balanced parentheses in it need no escape."""
    depth, at = 1, start
    while True:
        if content[at] == ord("\\"):
            at += 1
        elif content[at] == ord("("):
            depth += 1
        elif content[at] == ord(")"):
            depth -= 1
            if not depth:
                return _ESCAPED.sub(_unescaped, content[start:at]), at + 1
        at += 1


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8)]) if found[1][:1].isdigit() else _NAMED.get(found[1], found[1])


def _page_text(content: bytes, fonts: dict[bytes, dict[int, str]]) -> str:
    """The page's runs. An ActualText stands for the glyphs it spans."""
    text, glyphs, at = "", dict[int, str](), 0
    meaning, replaced = "glyphs", False
    while found := _TOKEN.search(content, at):
        at = found.end()
        if found["actual"] or found["skipped"]:
            meaning = "text" if found["actual"] else "nothing"
        elif found["font"]:
            glyphs = fonts[found["font"]]
        elif found["over"]:
            replaced = False
        elif found["end"]:
            text += "\n"
        else:
            if found["hex"]:
                literal = bytes.fromhex(found["hex"].decode())
            else:
                literal, at = _string(content, at)
            if meaning == "text":
                text += literal[2:].decode("utf-16-be") if literal[:2] == b"\xfe\xff" else literal.decode("latin-1")
                replaced = True
            elif meaning == "glyphs":
                codes = [int.from_bytes(literal[index : index + 2]) for index in range(0, len(literal), 2)]
                # A box is one, whatever text it stands for.
                text += MISSING * codes.count(0) if replaced else "".join(glyphs.get(code, MISSING) for code in codes)
            meaning = "glyphs"
    return text
