"""Payloads as people may see them: pretty, cut to a bound, with nothing in them that could pretend or hide. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass

SHOWN_BYTES = 32 * 1024
COLOURED_CHARACTERS = 16 * 1024
LINE_CHARACTERS = 140

_TOKENS = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=:))|(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)'
)


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
        return "".join(text for _, text in self.parts)


def present(name: str, title: str, stored: str | None, url: str = "", *, whole: bool = False) -> PayloadView | None:
    """Return a payload's view, cut at 32 KiB unless `whole`, or None if there is no value."""
    if stored is None:
        return None
    size = len(stored.encode())
    is_cut = size > SHOWN_BYTES and not whole
    text, is_json = (stored[:SHOWN_BYTES], True) if is_cut else pretty(stored)
    text = visible(text)
    coloured = is_json and len(text) <= COLOURED_CHARACTERS
    parts = tuple(tokens(text)) if coloured else (("", text),)
    return PayloadView(name, title, parts, size, is_cut, is_json, url)


def pretty(stored: str) -> tuple[str, bool]:
    """Return JSON text with indentation and True, or what is no JSON as it is and False."""
    try:
        return json.dumps(json.loads(stored), ensure_ascii=False, indent=2), True
    except (ValueError, RecursionError):
        return stored, False


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
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if not _hides(c) else f"⟦U+{ord(c):04X}⟧" for c in text)


def tokens(text: str) -> list[tuple[str, str]]:
    """Split JSON text into (kind, text) for colours; the kinds are key, string, number, word and none."""
    found, last = [], 0
    for match in _TOKENS.finditer(text):
        if match.start() > last:
            found.append(("", text[last : match.start()]))
        found.append((match.lastgroup or "", match.group()))
        last = match.end()
    if last < len(text):
        found.append(("", text[last:]))
    return found


def human_size(size: int) -> str:
    """Return a number of bytes as people read it."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MiB"


def _hides(character: str) -> bool:
    return character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co")
