"""`python -m durableweb.launcher`: prepare, start, watch, stop."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

import django
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from durableweb import own_apps, valkey
from durableweb.environment import Environment, refuse
from durableweb.home import Home, home_of, write_private
from durableweb.launcher import parts, preparation
from durableweb.launcher.watch import StopAsked, Watch
from durableweb.startup import DEFAULT_HOME, SETTINGS, note_running
from orchestrations.runtime.processes import dying_with

USAGE, UNAVAILABLE = 2, 6
READY_SECONDS = 60.0
SAMPLE_SECONDS = 60.0
MIGRATE_SECONDS = 120.0
NEW_LINK = ".venv/bin/python manage.py durable sign-in-link"


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(f"  {text}", flush=True)


def main() -> int:
    """Run one copy until somebody asks to stop; return 0 after a stop that was asked for."""
    options = _parse()
    if options.bound:
        _end_with_parent()
    os.umask(0o077)
    try:
        return _run(options.apps)
    except (ImproperlyConfigured, preparation.HomeInUse) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except (DatabaseError, OSError) as error:
        print(f"error: {error}".strip(), file=sys.stderr)
        return UNAVAILABLE


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m durableweb.launcher", description="Run one copy of the product.")
    parser.add_argument("--bound", action="store_true", help="stop when the calling process dies (Linux)")
    apps = (
        "one's own functions: folders, Python files or dotted names, separated by commas; else those of the last start"
    )
    parser.add_argument("--apps", default=None, help=apps)
    return parser.parse_args()


def _end_with_parent() -> None:
    bind = dying_with(os.getppid(), signal.SIGTERM)
    if bind is not None:
        bind()


def _run(asked_apps: str | None) -> int:
    given = Environment(os.environ)
    home = home_of(given, DEFAULT_HOME)
    port = given.whole("PORT", 8000, low=1, high=65535)
    address = f"http://127.0.0.1:{port}"
    home.create()
    held = preparation.lock(home, address)
    note = note_running(home)
    watch = Watch(say)
    watch.listen()
    try:
        apps, queues = preparation.choose_apps(asked_apps, given, home), preparation.choose_queues(given, home)
        _start(watch, home, port, address, parts.shared_environment(os.environ, home, port, apps, queues))
        watch.run()
    except StopAsked:
        pass
    except Exception:
        if not watch.stop_asked:  # else the request to stop came through as something else's error
            raise
    finally:
        if watch.children:
            say("stopping …")
        watch.stop()
        signal.set_wakeup_fd(-1)
        watch.close()
        note.unlink(missing_ok=True)
        held.close()
    say("stopped; your data is kept")
    return 0


def _start(watch: Watch, home: Home, port: int, address: str, environment: Mapping[str, str]) -> None:
    """Bring everything up, one step after the other, and say where it is. Code of one's own never runs in here."""
    apps, queues = (Environment(environment).items(name) for name in ("DURABLE_APPS", "DURABLE_QUEUES"))
    _refuse_taken_port(port, environment.get("BIND") or "127.0.0.1")
    home.ensure_secret(home.secret_key_file)
    os.environ.update({**environment, "DURABLE_APPS": ""})
    preparation.check_settings(environment["DJANGO_SETTINGS_MODULE"])
    _start_queue(watch, home, environment)
    preparation.record(home, parts.recorded_part(environment))
    django.setup()
    _prepare_database(home)
    _prepare_apps(watch, apps, environment)
    watch.add(parts.web(home, environment))
    for supervisor in parts.workers(environment, queues):
        watch.add(supervisor)
    if apps:
        watch.add(parts.changes(environment, apps))
    is_ready = _wait_until_ready(watch, address)
    _start_samples(watch, home, environment)
    _welcome(home, address, is_ready=is_ready)


def _prepare_apps(watch: Watch, apps: Sequence[str], environment: Mapping[str, str]) -> None:
    """Bring the tables of one's own apps to their present schema, in a process of its own: foreign code runs there."""
    if environment["DJANGO_SETTINGS_MODULE"] != SETTINGS:
        say(f"the settings are {environment['DJANGO_SETTINGS_MODULE']}, as DJANGO_SETTINGS_MODULE says")
    if not apps:
        return
    say(f"your functions are in {', '.join(apps)}; what changes there is started again")
    for entry in apps:
        if own_apps.lacks_functions(entry):
            say(f"{entry} has no durable.py, so its functions are not found: let one import the modules that hold them")
    command = parts.manage("migrate", "--no-input", "--verbosity", "0")
    code, errors = watch.run_command(command, environment, seconds=MIGRATE_SECONDS)
    if code:
        last = (errors.strip().splitlines() or [f"it took more than {MIGRATE_SECONDS:g} s"])[-1]
        say(f"the tables of your apps were not brought to their present schema: {last}")


def _start_queue(watch: Watch, home: Home, environment: Mapping[str, str]) -> None:
    if environment.get("REDIS_URL"):
        return
    say("starting the queue (Valkey)")
    home.ensure_secret(home.redis_password_file)
    valkey.end_leftover(home.redis_url)
    watch.add(parts.queue(home, environment))
    if not valkey.wait_until_it_answers(home.redis_url):
        raise OSError("The embedded Valkey does not answer; set REDIS_URL to use another server.")


def _prepare_database(home: Home) -> None:
    from django.db import connections

    if preparation.migrate():
        say("the database has the present schema")
    if preparation.make_accounts(home):
        say(f"made the accounts {', '.join(preparation.ROLES)}; passwords are in {home.accounts_file}")
    connections.close_all()


def _refuse_taken_port(port: int, bind: str) -> None:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            refuse("PORT", str(port), f"cannot be used on {bind} ({error.strerror}); choose another, as in PORT=8137")


def _wait_until_ready(watch: Watch, address: str) -> bool:
    """Return whether everything worked within READY_SECONDS; crashed children are restarted meanwhile."""
    say("starting the web server and the workers")
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if _ask(address).get("ready"):
            return True
        watch.rest(min(0.1, watch.tend()))
    missing = [part for part, works in _ask(address).items() if not works and part != "ready"]
    say(f"not ready yet: {', '.join(missing) or 'the web server'}")
    return False


def _ask(address: str) -> dict[str, bool]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address}/healthz/ready", timeout=5) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            content = error.read()
        try:
            return dict(json.loads(content))
        except ValueError:
            return {}
    except (OSError, ValueError):
        return {}


def _start_samples(watch: Watch, home: Home, environment: Mapping[str, str]) -> None:
    if home.samples_file.exists() or environment.get("DURABLE_SAMPLES") != "1":
        return
    for name, content in parts.samples(home):
        command = parts.manage("durable", "start", name, "--input", content)
        code, errors = watch.run_command(command, environment, seconds=SAMPLE_SECONDS)
        if code:
            say(f"the sample {name} did not start: {(errors.strip().splitlines() or ['?'])[-1]}")
    write_private(home.samples_file, "")


def _welcome(home: Home, address: str, *, is_ready: bool) -> None:
    lines = [*_sign_in_lines(), ("all accounts:", str(home.accounts_file)), ("stop:", "Ctrl-C")]
    text = "".join(f"    {title:<18}  {content}\n" for title, content in lines)
    print(f"\n  durableweb {'runs' if is_ready else 'starts'} at {address}\n\n{text}", flush=True)


def _sign_in_lines() -> list[tuple[str, str]]:
    """Return a link for the admin, and for how long it is good; an account that was closed stays closed."""
    from django.db import connections

    from orchestrations.conf import conf
    from orchestrations.control import sign_in
    from orchestrations.errors import InvalidError

    try:
        token = sign_in.make_only_link("admin")
    except InvalidError as error:
        return [("sign in:", f"{error} For another: {NEW_LINK} --user NAME")]
    finally:
        connections.close_all()
    note = f"(good once, for {sign_in.LINK_SECONDS // 60} minutes; a new one: {NEW_LINK})"
    return [("sign in, as admin:", f"{conf.ADDRESS}/sign-in/{token}/"), ("", note)]


if __name__ == "__main__":
    sys.exit(main())
