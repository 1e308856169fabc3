"""Everything that has to be true before the first process starts; each step may be repeated and keeps what is there."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from django.core.exceptions import ImproperlyConfigured

from durableweb import own_apps
from durableweb.environment import Environment
from durableweb.home import Home, read_private, write_private
from durableweb.startup import SETTINGS
from orchestrations.discovery import describe

ROLES = ("viewer", "operator", "approver", "admin")
PASSWORD_BYTES = 15


class HomeInUse(Exception):
    """Another copy runs in the same DURABLE_HOME."""


def lock(home: Home, address: str) -> IO[str]:
    """Return the open lock file of this home, which says who runs here; raise `HomeInUse` if somebody does."""
    opened = os.fdopen(os.open(home.lock_file, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
    if not _take(opened):
        holder = opened.read().strip()
        opened.close()
        raise HomeInUse(f"{home.path} is in use by {holder or 'another copy'}.")
    opened.truncate(0)
    opened.write(f"process {os.getpid()} at {address}\n")
    opened.flush()
    return opened


def _take(opened: IO[str]) -> bool:
    """Lock the file, in a second try after a command that only looks whether it is locked."""
    for pause in (0.0, 0.05, 0.2):
        time.sleep(pause)
        with contextlib.suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def choose_apps(asked: str | None, given: Environment, home: Home) -> list[str]:
    """Return one's own apps, with full paths: those asked for now, else those of the last start in this home.

    What is asked for has to exist (`ImproperlyConfigured`); what was there once may come back.
    """
    named = given.items("DURABLE_APPS") if asked is None else Environment({"APPS": asked}).items("APPS")
    if asked is None and not named:
        return Environment(home.recorded_environment()).items("DURABLE_APPS")
    return [_absolute(entry) for entry in named]


def choose_queues(given: Environment, home: Home) -> list[str]:
    """Return the queues that get workers: those that are named now (an empty value names none), else the last ones."""
    named = given if "DURABLE_QUEUES" in given.values else Environment(home.recorded_environment())
    return named.queues("DURABLE_QUEUES", [])


def _absolute(entry: str) -> str:
    try:
        found = own_apps.absolute(own_apps.find(entry))
    except own_apps.UnusableApp as error:
        raise ImproperlyConfigured(f"APPS names '{entry}', but {error}") from None
    if "," in found:
        raise ImproperlyConfigured(f"APPS names '{found}', but a path with a comma cannot be named; rename it.")
    return found


def check_settings(name: str) -> None:
    """Refuse a settings module (DJANGO_SETTINGS_MODULE) that is not there, or not made from the project's own."""
    if name == SETTINGS:
        return
    advice = f"Unset it to run with {SETTINGS}, or name a module that begins with `from {SETTINGS} import *`."
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        text = f"DJANGO_SETTINGS_MODULE is '{name}', which cannot be imported ({describe(error)}). {advice}"
        raise ImproperlyConfigured(text) from None
    if not hasattr(module, "OWN_ADDRESS"):
        raise ImproperlyConfigured(f"DJANGO_SETTINGS_MODULE is '{name}', settings of another project. {advice}")


def migrate() -> bool:
    """Bring the database to the present schema; return whether there was anything to do."""
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return False
    call_command("migrate", interactive=False, verbosity=0)
    return True


def make_accounts(home: Home) -> bool:
    """Make one account for each role, with a random password kept in a private file; return whether any was made.

    Accounts that exist keep their passwords, even where the file no longer names them.
    """
    from django.contrib.auth.models import Group, User
    from django.db import transaction

    passwords = _read_accounts(home.accounts_file)
    made = False
    with transaction.atomic():
        for role in ROLES:
            group, _ = Group.objects.get_or_create(name=role)
            user, is_new = User.objects.get_or_create(username=role)
            user.groups.add(group)
            if is_new:
                made = True
                password = passwords.setdefault(role, secrets.token_urlsafe(PASSWORD_BYTES))
                user.set_password(password)
                user.save(update_fields=["password"])
        if made:
            write_accounts(home.accounts_file, passwords)
    return made


def write_accounts(file: Path, passwords: Mapping[str, str]) -> None:
    """Keep the demo accounts' passwords in a private file, one account a line."""
    content = "".join(f"{role} {passwords[role]}\n" for role in ROLES if role in passwords)
    write_private(file, content, replace=True)


def _read_accounts(file: Path) -> dict[str, str]:
    lines = (line.split(maxsplit=1) for line in read_private(file).splitlines())
    return {parts[0]: parts[1] for parts in lines if len(parts) == 2}


def record(home: Home, environment: Mapping[str, str]) -> None:
    """Keep how this copy was started, so that `manage.py` with the same DURABLE_HOME alone finds the same stores."""
    write_private(home.environment_file, json.dumps(dict(environment), indent=2) + "\n", replace=True)
