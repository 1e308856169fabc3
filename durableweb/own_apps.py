"""One's own functions: what `make run APPS=…` (DURABLE_APPS) names, found and put where Django and workers see it.

An entry is a folder, a Python file or a dotted name. A folder with an `__init__.py` is a Django app, under the name
that Python gives it; a folder without one is a place of scripts, and its `durable.py` is the module. Nothing that is
named here can take the place of something installed: it is searched last, and a taken name is refused. Code is imported
only by `configure`, and what cannot be imported is a problem of its own (`orchestrations.discovery`), nobody else's.
"""

from __future__ import annotations

import importlib.util
import keyword
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from pkgutil import iter_modules

from django.apps import AppConfig
from django.conf import settings

from orchestrations.discovery import MODULE, attempt, report

PACKAGE = "__init__.py"


class UnusableApp(Exception):
    """An entry names nothing that can be imported; the text says what was found and what would do."""


@dataclass(frozen=True, slots=True)
class OwnApp:
    """What an entry names: its dotted name, where Python has to look for it, and what there is to watch.

    `root` and `place` are None where it is found without our help, as what is installed is. A `module` holds functions
    and nothing else; anything else is a Django app.
    """

    entry: str
    name: str
    root: Path | None = None
    place: Path | None = None
    is_module: bool = False


def find(entry: str) -> OwnApp:
    """Return what an entry names, without importing any of it; `UnusableApp` if it names nothing."""
    path = Path(entry).expanduser().absolute()
    if os.sep in entry or entry.startswith(("~", ".")) or entry.endswith(".py") or path.exists():
        return _find_path(entry, path)
    if not all(map(_is_name, entry.split("."))):
        raise UnusableApp("it is neither a path nor a dotted name.")
    return _find_name(entry)


def absolute(app: OwnApp) -> str:
    """Return the entry in a form that means the same in every directory."""
    is_path = app.root is not None and app.place is not None
    return str(Path(app.entry).expanduser().absolute()) if is_path else app.entry


def lacks_functions(entry: str) -> bool:
    """Tell whether it is a folder of modules of which none is the one whose functions are found."""
    try:
        app = find(entry)
    except UnusableApp:
        return False
    if app.is_module or app.place is None or not app.place.is_dir():
        return False
    return not any((app.place / name).exists() for name in (f"{MODULE}.py", f"{MODULE}/{PACKAGE}"))


def configure(entries: Sequence[str], installed: Sequence[str]) -> tuple[list[AppConfig], list[str]]:
    """Make the entries importable; return the Django apps among them, and the names of the plain modules.

    What cannot be used is left out and reported as a problem.
    """
    configs: list[AppConfig] = []
    modules: list[str] = []
    labels = {name.rpartition(".")[2]: name for name in installed}
    for entry in dict.fromkeys(entries):
        try:
            app = find(entry)
        except UnusableApp as error:
            report(entry, str(error))
            continue
        if app.root is not None and str(app.root) not in sys.path:
            sys.path.append(str(app.root))
        if app.is_module:
            modules.append(app.name)
        elif (config := attempt(app.name, partial(_create, app.name, labels))) is not None:
            labels[config.label] = app.name
            configs.append(config)
    return configs, modules


# --- what an entry names ---------------------------------------------------------------------------------------------
def _find_path(entry: str, path: Path) -> OwnApp:
    if not path.exists():
        raise UnusableApp(f"there is no {path}.")
    if path.name == PACKAGE:
        path = path.parent
    if path.is_file() and path.suffix != ".py":
        raise UnusableApp(f"{path} is neither a folder nor a Python file.")
    if path.is_dir() and not (path / PACKAGE).exists():
        return _find_script(entry, path)
    root = path.parent
    while (root / PACKAGE).exists():
        root = root.parent
    names = path.relative_to(root).with_suffix("").parts
    _check_names(names, root)
    return OwnApp(entry, ".".join(names), root, path, is_module=path.is_file())


def _find_script(entry: str, folder: Path) -> OwnApp:
    """A folder that is no package: its module `durable` stands alone and finds its neighbours by their bare names."""
    if not (folder / f"{MODULE}.py").exists() and not (folder / MODULE / PACKAGE).exists():
        raise UnusableApp(f"{folder} has neither a {PACKAGE}, as a Django app has, nor a {MODULE}.py.")
    _check_names((MODULE,), folder)
    return OwnApp(entry, MODULE, folder, folder, is_module=True)


def _check_names(names: Sequence[str], root: Path) -> None:
    for name in names:
        if not _is_name(name):
            raise UnusableApp(f"'{name}' is no name that Python can import; rename it to letters, digits and _.")
    spec = _spec_of(names[0])
    if spec is None or (spec.origin is None and spec.submodule_search_locations):
        return  # free, or a mere folder on the path, which gives way to what is a module or a package
    held = _place_of(spec)
    if held is None or held.parent != root:
        raise UnusableApp(f"the name '{names[0]}' is taken by {held or 'Python itself'}; rename {root / names[0]}.")


def _find_name(name: str) -> OwnApp:
    """Walk by files from the top-level name down: a search for `a.b` by Python would import `a`."""
    first, *rest = name.split(".")
    spec = _spec_of(first)
    place = _place_of(spec) if spec is not None else None
    if place is None:
        raise UnusableApp(f"there is neither a path nor a module '{first}'; PYTHONPATH may say where modules are.")
    for part in rest:
        if (place / part).is_dir():
            place = place / part
        elif (place / f"{part}.py").exists():
            place = place / f"{part}.py"
        elif part[0].isupper():  # the AppConfig in that module
            return OwnApp(name, name, place=place)
        else:
            raise UnusableApp(f"there is no '{part}' in {place}.")
    return OwnApp(name, name, place=place, is_module=place.is_file())


def _spec_of(name: str) -> ModuleSpec | None:
    """Return what a top-level name means now, without importing it."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _place_of(spec: ModuleSpec) -> Path | None:
    """Return the file or folder, or None for what is built in."""
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and os.sep in spec.origin else None


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


# --- Django apps that cannot break the others ------------------------------------------------------------------------
def _create(name: str, labels: dict[str, str]) -> AppConfig:
    config = AppConfig.create(name)
    if config.label in labels:
        raise ValueError(
            f"its label '{config.label}' is that of '{labels[config.label]}'; rename it, or give its AppConfig a label"
        )
    return _guarded(type(config))(config.name, config.module)


def _guarded(kind: type[AppConfig]) -> type[AppConfig]:
    """Return the app's own class of configuration; what its code raises no longer ends Django's start."""

    class Guarded(kind):  # type: ignore[misc, valid-type]
        def import_models(self) -> None:
            attempt(self.name, super().import_models)

        def ready(self) -> None:
            attempt(self.name, super().ready)
            if attempt(f"{self.name}.migrations", partial(_import_migrations, self.name)) is None:
                settings.MIGRATION_MODULES[self.label] = None

    return Guarded


def _import_migrations(name: str) -> int:
    """Import them all, as the first look at the schema would; return how many there are."""
    if importlib.util.find_spec(f"{name}.migrations") is None:
        return 0
    package = import_module(f"{name}.migrations")
    names = [found.name for found in iter_modules(package.__path__)]
    for found in names:
        import_module(f"{package.__name__}.{found}")
    return len(names)
