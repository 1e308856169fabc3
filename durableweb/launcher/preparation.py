"""Everything that has to be true before the first process starts; each step may be repeated and keeps what is there."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from durableweb.home import Home, read_private, write_private

ROLES = ("viewer", "operator", "approver", "admin")
PASSWORD_BYTES = 15


class HomeInUse(Exception):
    """Another copy runs in the same DURABLE_HOME."""


def lock(home: Home, address: str) -> IO[str]:
    """Return the open lock file of this home, which says who runs here; raise `HomeInUse` if somebody does."""
    opened = os.fdopen(os.open(home.lock_file, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = opened.read().strip()
        opened.close()
        raise HomeInUse(f"{home.path} is in use by {holder or 'another copy'}.") from None
    opened.truncate(0)
    opened.write(f"process {os.getpid()} at {address}\n")
    opened.flush()
    return opened


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


def make_sign_in_link(address: str, *, role: str = "admin") -> str:
    """Return a link that signs `role` in, once and soon. Earlier links of that account end here."""
    from django.contrib.auth.models import User
    from django.db import transaction

    from orchestrations.control import sign_in
    from orchestrations.store.models import SignInLink

    with transaction.atomic():
        user = User.objects.get(username=role)
        SignInLink.objects.filter(user=user).delete()
        return f"{address}/sign-in/{sign_in.make_link(user)}/"


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
