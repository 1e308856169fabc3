"""Browser files: the listed ones and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.staticfiles import finders
from django.test import Client

from orchestrations.web import assets


@pytest.mark.parametrize("name", assets.FILES)
def test_listed_files_are_found(name: str) -> None:
    assert finders.find(f"npm/{name}")


@pytest.mark.parametrize("name", ["npm/@tabler/core/package.json", "npm/../manage.py", "npm", "npm/", "idiomorph"])
def test_nothing_else_is(name: str) -> None:
    finder = assets.PackageFinder()
    assert finder.find(name) == []


def test_icons_are_one_file_for_a_year() -> None:
    response = Client().get("/assets/icons.svg")
    assert response["Content-Type"] == "image/svg+xml"
    assert "immutable" in response["Cache-Control"]
    text = response.content.decode()
    assert [name for name in assets.ICONS if f'id="{name}"' not in text] == []


def test_missing_packages_are_told_with_the_command(settings: LazySettings, tmp_path: Path) -> None:
    assert assets.check_packages() == []
    settings.NODE_MODULES = tmp_path
    (message,) = assets.check_packages()
    assert "npm ci" in (message.hint or "")


def test_templates_use_only_icons_that_are_served() -> None:
    import re

    from orchestrations.web.histories import KINDS
    from orchestrations.web.statuses import BADGES, WAIT_ICONS

    root = Path(assets.__file__).resolve().parents[2] / "templates"
    used = {name for file in root.rglob("*.html") for name in re.findall(r'{% icon "([\w-]+)"', file.read_text())}
    used |= (
        {icon for icon, _, _ in KINDS.values()} | {badge.icon for badge in BADGES.values()} | set(WAIT_ICONS.values())
    )
    assert used <= set(assets.ICONS)


def test_partials_and_scripts_keep_their_budgets() -> None:
    root = Path(assets.__file__).resolve().parents[2]
    for file in (root / "templates").rglob("*.html"):
        assert len(file.read_text().splitlines()) <= 60, file
    for file in (root / "static/js").rglob("*.js"):
        assert len(file.read_text().splitlines()) <= 150, file
