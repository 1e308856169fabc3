"""Browser files from npm: an explicit list, served where npm put them. Nothing else of it is reachable."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.checks import CheckMessage, Warning
from django.core.files.storage import FileSystemStorage

FILES = (
    "@tabler/core/dist/css/tabler.min.css",
    "@tabler/core/dist/css/tabler.min.css.map",
    "idiomorph/dist/idiomorph-ext.min.js",
)
PREFIX = "npm"
ICON_FOLDER = "@tabler/icons/icons/outline"
ICONS = (
    "alarm",
    "alert-octagon",
    "alert-triangle",
    "arrow-back-up",
    "arrow-bar-right",
    "arrow-bar-to-right",
    "arrow-right",
    "arrow-up",
    "ban",
    "bell",
    "bolt",
    "check",
    "chevron-down",
    "chevron-left",
    "chevron-right",
    "circle-check",
    "circle-dashed",
    "circle-dotted",
    "clipboard-check",
    "copy",
    "download",
    "filter-off",
    "flag",
    "flag-check",
    "history",
    "hourglass",
    "inbox",
    "list-details",
    "loader-2",
    "lock",
    "logout",
    "menu-2",
    "moon",
    "player-pause",
    "player-play",
    "player-stop",
    "plus",
    "refresh",
    "repeat",
    "search",
    "send",
    "sitemap",
    "stack-2",
    "sun",
    "user",
    "user-question",
    "versions",
    "x",
)
INNER = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)


def packages_path() -> Path:
    """Return the folder into which npm installed."""
    return Path(getattr(settings, "NODE_MODULES", None) or Path(settings.BASE_DIR) / "node_modules")


class PackageFinder(BaseFinder):
    """Finds the listed files as `npm/<package>/<path>`."""

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        """Return where a listed file lies, or an empty list."""
        name = path.removeprefix(f"{PREFIX}/")
        found = packages_path() / name
        if name == path or name not in FILES or not found.is_file():
            return []
        return [str(found)] if find_all or kwargs.get("all") else str(found)

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, FileSystemStorage]]:
        """Yield the listed files that are installed."""
        storage = FileSystemStorage(location=packages_path())
        storage.prefix = PREFIX  # type: ignore[attr-defined]  # read by whoever collects
        for name in FILES:
            if storage.exists(name):
                yield name, storage


@lru_cache(maxsize=1)
def icon_sprite() -> tuple[str, str]:
    """Return the icons in use as one SVG file, and a digest of it. Icons that are not installed are left out."""
    folder = packages_path() / ICON_FOLDER
    symbols = [_symbol(name, folder / f"{name}.svg") for name in sorted(ICONS)]
    sprite = f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>'
    return sprite, hashlib.blake2s(sprite.encode(), digest_size=6).hexdigest()


def check_packages(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """System check: are the browser files installed?"""
    wanted = [*FILES, *(f"{ICON_FOLDER}/{name}.svg" for name in ICONS)]
    missing = [name for name in wanted if not (packages_path() / name).is_file()]
    if not missing:
        return []
    message = f"{len(missing)} browser files are missing from {packages_path()}, the first is {missing[0]}."
    return [Warning(message, hint="Run `npm ci --ignore-scripts`.", id="orchestrations.W020")]


def _symbol(name: str, file: Path) -> str:
    if not file.is_file():
        return ""
    match = INNER.search(file.read_text(encoding="utf-8"))
    inner = " ".join(match.group(1).split()) if match else ""
    lines = 'fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'
    return f'<symbol id="{name}" viewBox="0 0 24 24" {lines}>{inner}</symbol>'
