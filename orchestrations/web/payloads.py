"""Payloads as people may see them: pretty, cut to a bound, with nothing in them that could pretend or hide. Pure.

What is bounded is what comes out, not what goes in: a nested list grows sixty-fold by its indentation, and a quote or
a control character becomes six to twelve bytes of HTML. The whole of a payload is for downloading.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, replace

CARD_CHARACTERS = 16 * 1024
PAGE_CHARACTERS = 64 * 1024
COLOURED_CHARACTERS = 16 * 1024
LINE_CHARACTERS = 140

_TOKEN = re.compile(
    r'\s*(?:(?P<key>"[^"\\]*(?:\\.[^"\\]*)*"(?=\s*:))|(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")|(?P<open>[\[{])|(?P<close>[\]}])'
    r"|(?P<comma>,)|(?P<colon>:)|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null))",
    re.DOTALL,
)
_COLOURS = frozenset({"key", "string", "number", "word"})

Parts = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PayloadView:
    """A payload: `parts` are (kind, text) pairs that give `text` when joined; `size` is that of the stored text."""

    name: str
    title: str
    parts: tuple[tuple[str, str], ...]
    size: int
    is_cut: bool = False
    is_json: bool = True
    url: str = ""

    @property
    def text(self) -> str:
        """What is shown."""
        return "".join(text for _, text in self.parts)

    @property
    def is_long(self) -> bool:
        """Whether one line cannot show all of it."""
        return len(self.text) > LINE_CHARACTERS


def present(name: str, title: str, stored: str | None, url: str = "", *, whole: bool = False) -> PayloadView | None:
    """Return a payload's view, cut at 16 Ki characters, or at 64 Ki if `whole`, or None if there is no value."""
    if stored is None:
        return None
    limit = PAGE_CHARACTERS if whole else CARD_CHARACTERS
    size = len(stored.encode("utf-8", "surrogatepass"))
    try:
        parts = pretty(stored, limit)
    except ValueError:
        return replace(_cut(name, title, [("", stored[: limit + 1])], size, limit), is_json=False, url=url)
    return replace(_cut(name, title, parts, size, limit), url=url)


def plain(name: str, title: str, text: str) -> PayloadView:
    """Return the view of a text that is no JSON, cut as a card's."""
    size = len(text.encode("utf-8", "surrogatepass"))
    return _cut(name, title, [("", text[: CARD_CHARACTERS + 1])], size, CARD_CHARACTERS)


def pretty(stored: str, limit: int) -> Parts:
    """Return JSON text with indentation as (kind, text) parts: key, string, number, word and none.

    It stops once it has more than `limit` characters, so a long text costs no more than its beginning; only a text
    that ends before is checked to be JSON. Raises `ValueError` for what is none.
    """
    parts: Parts = []
    depth, length, last, position = 0, 0, "", 0
    while length <= limit and (match := _TOKEN.match(stored, position)):
        kind, text = str(match.lastgroup), match[str(match.lastgroup)]
        depth -= kind == "close"
        before = _space(kind, last, depth)
        depth += kind == "open"
        parts += [("", before + text)] if kind not in _COLOURS else [("", before), (kind, text)]
        length, last, position = length + len(before) + len(text), kind, match.end()
    if length <= limit:
        json.loads(stored)
    return parts


def _space(kind: str, last: str, depth: int) -> str:
    """Return what stands between two tokens."""
    if last == "colon":
        return " "
    opens = last in ("open", "comma") and kind != "close"
    closes = kind == "close" and last != "open"
    return "\n" + "  " * depth if opens or closes else ""


def one_line(stored: str | None, limit: int = LINE_CHARACTERS) -> str:
    """Return a payload in one line, a JSON string without its quotes, cut at `limit` characters."""
    if stored is None or stored == "null":
        return ""
    text = stored
    if len(stored) < 4 * limit and stored[:1] == '"':
        try:
            text = str(json.loads(stored))
        except ValueError:
            text = stored
    text = visible(" ".join(text[: limit * 2].split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def visible(text: str) -> str:
    """Show each control, zero-width and direction character as its number, so that nothing hides or turns the text."""
    return text if text.isascii() and text.isprintable() else text.translate(_VISIBLE)


class _Visible(dict[int, str | int]):
    """What a character's number is translated to; `str.translate` asks for each character."""

    def __missing__(self, number: int) -> str | int:
        hides = number not in (9, 10) and unicodedata.category(chr(number)) in ("Cc", "Cf", "Cs", "Co")
        return f"⟦U+{number:04X}⟧" if hides else number


_VISIBLE = _Visible()


def human_size(size: int) -> str:
    """Return a number of bytes as people read it."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MiB"


def _cut(name: str, title: str, parts: Parts, size: int, limit: int) -> PayloadView:
    """Keep what fits, as it can be seen; colours only as long as they do not outweigh the text."""
    text = visible("".join(text for _, text in parts)[: limit + 1])
    is_cut = len(text) > limit
    shown = [("", text[:limit])]
    if not is_cut and len(text) <= COLOURED_CHARACTERS:
        shown = [(kind, visible(text)) for kind, text in parts if text]
    return PayloadView(name, title, tuple(shown), size, is_cut)
