"""Database URL → Django's settings, with the two profiles that the engine's promises rest on.

SQLite runs in WAL with immediate transactions behind a gate and full synchronisation; PostgreSQL in READ COMMITTED with
bounded waits. No weaker profile is offered. Connections last, one for each thread that asks: a worker has one, the web
server one for each of its fixed number of threads (`durableweb.handler`), so neither needs a pool.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from durableweb.environment import masked, refuse

POSTGRES_SCHEMES = frozenset({"postgres", "postgresql"})
SCHEMES = POSTGRES_SCHEMES | {"sqlite"}

SQLITE_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
SQLITE_BUSY_SECONDS = 20

POSTGRES_SESSION = {
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "default_transaction_isolation": r"read\ committed",
}
POSTGRES_URL_OPTIONS = frozenset(
    {
        "host",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "connect_timeout",
        "application_name",
        "target_session_attrs",
    }
)


def database(url: str) -> dict[str, Any]:
    """Return Django's settings of the database that `url` names."""
    return _postgres(url) if urlsplit(url).scheme in POSTGRES_SCHEMES else _sqlite(url)


def _sqlite(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("//") or path == "//" or parts.query:
        refuse(
            "DATABASE_URL", url, "must name a file with its full path for SQLite: sqlite:////var/lib/durable.sqlite3"
        )
    return {
        "ENGINE": "orchestrations.store.sqlite",
        "NAME": "/" + path.lstrip("/"),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": SQLITE_BUSY_SECONDS,
            "transaction_mode": "IMMEDIATE",
            "init_command": SQLITE_PRAGMAS,
        },
    }


def _postgres(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(query.keys() - POSTGRES_URL_OPTIONS)
    if unknown:
        allowed = ", ".join(sorted(POSTGRES_URL_OPTIONS))
        refuse("DATABASE_URL", masked(url), f"may not have the option '{unknown[0]}'; known ones are {allowed}")
    name = unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        refuse("DATABASE_URL", masked(url), "must name a database: postgres://user:password@host:5432/name")
    session = " ".join(f"-c {key}={value}" for key, value in POSTGRES_SESSION.items())
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", unquote(parts.hostname or "")),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        # the engine's few statements are always the same texts: prepared once, they keep their plans
        # (behind PgBouncer in transaction mode that needs its version 1.21 or newer)
        "OPTIONS": {
            "connect_timeout": 5,
            "server_side_binding": True,
            "prepare_threshold": 3,
            **query,
            "options": session,
        },
    }
