"""The environment is read strictly: every refusal names the variable, the value and what is allowed."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from durableweb import databases, logs, product
from durableweb.environment import Environment, check_secret_key, masked
from durableweb.home import Home
from durableweb.launcher import parts, preparation


def test_absent_and_empty_variables_give_the_default() -> None:
    assert Environment({}).whole("PORT", 8000, low=1, high=65535) == 8000
    assert Environment({"PORT": " "}).whole("PORT", 8000, low=1, high=65535) == 8000
    assert Environment({"DEBUG": ""}).flag("DEBUG", default=True) is True


@pytest.mark.parametrize("value", ["0", "65536", "-1", "8000.0", "eight", "0x50", "８０００", "9" * 40])
def test_odd_ports_are_refused_with_the_range(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"PORT is '{value}', but it must be a whole number from 1 to 65535"):
        Environment({"PORT": value}).whole("PORT", 8000, low=1, high=65535)


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("ON", True), ("yes", True), ("0", False), ("False", False)]
)
def test_flags_take_the_usual_words(value: str, expected: bool) -> None:
    assert Environment({"DEBUG": value}).flag("DEBUG", default=not expected) is expected


def test_an_odd_flag_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="DEBUG is 'maybe', but it must be 1, true, yes or on"):
        Environment({"DEBUG": "maybe"}).flag("DEBUG", default=False)


@pytest.mark.parametrize("value", ["http://a.example", "https://a.example/", "https://u@a.example", "a.example", "*"])
def test_origins_are_exact_and_encrypted(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="PUBLIC_ORIGINS"):
        Environment({"PUBLIC_ORIGINS": value}).origins("PUBLIC_ORIGINS")


def test_an_odd_database_address_is_refused_without_showing_its_password() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        Environment({"DATABASE_URL": "mysql://me:secret@host/name"}).url("DATABASE_URL", "", schemes=databases.SCHEMES)
    assert "DATABASE_URL is 'mysql://me:***@host/name'" in str(caught.value)
    assert "postgres://" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["sqlite:///relative.sqlite3", "sqlite://", "postgres://host/", "postgres://host/a/b", "postgres://h/n?x=1"]
)
def test_database_addresses_that_name_no_database_are_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        databases.database(url)


def test_sqlite_has_the_one_profile_that_loses_nothing() -> None:
    found = databases.database("sqlite:////var/lib/durable.sqlite3")
    assert found["NAME"] == "/var/lib/durable.sqlite3"
    assert found["ENGINE"] == "orchestrations.store.sqlite"
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert found["OPTIONS"]["timeout"] == 20
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        assert pragma in found["OPTIONS"]["init_command"]


def test_postgres_has_bounded_waits_and_no_pool() -> None:
    found = databases.database("postgresql://me:p%40ss@db.example:5433/durable?sslmode=require")
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"]) == ("me", "p@ss", "db.example", "5433")
    assert found["OPTIONS"]["sslmode"] == "require"
    assert "pool" not in found["OPTIONS"]
    for setting in ("statement_timeout=30s", "lock_timeout=5s", "idle_in_transaction_session_timeout=60s"):
        assert setting in found["OPTIONS"]["options"]


def test_a_mistyped_product_setting_is_refused_with_the_likely_name() -> None:
    with pytest.raises(
        ImproperlyConfigured, match=r"DURABLE_LEASE_SECODNS is not known. Did you mean DURABLE_LEASE_SEC"
    ):
        product.settings(Environment({"DURABLE_LEASE_SECODNS": "30"}))


def test_product_settings_take_the_type_and_the_range_of_their_default() -> None:
    given = {
        "DURABLE_LEASE_SECONDS": "12.5",
        "DURABLE_ALWAYS_REPLAY": "1",
        "DURABLE_CLAIM_SIZE": "7",
        "DURABLE_HUB": "b",
    }
    assert product.settings(Environment(given)) == {
        "DURABLE_LEASE_SECONDS": 12.5,
        "DURABLE_ALWAYS_REPLAY": True,
        "DURABLE_CLAIM_SIZE": 7,
        "DURABLE_HUB": "b",
    }
    with pytest.raises(
        ImproperlyConfigured, match="DURABLE_CLAIM_SIZE is '0', but it must be a whole number from 1 to"
    ):
        product.settings(Environment({"DURABLE_CLAIM_SIZE": "0"}))


@pytest.mark.parametrize("key", ["short", "django-insecure-" + "abcdefgh" * 8, "a" * 64])
def test_weak_keys_are_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        check_secret_key(key, "SECRET_KEY")
    assert key not in str(caught.value)


def test_passwords_in_addresses_are_masked() -> None:
    assert masked("redis://:secret@host:6379/0") == "redis://:***@host:6379/0"
    assert masked("unix:///run/valkey.sock?password=secret&db=1") == "unix:///run/valkey.sock?password=***&db=1"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GET /runtime/instances?code=abc&name=x", "GET /runtime/instances?code=***&name=x"),
        ("GET /x?name=y&Token=abc", "GET /x?name=y&Token=***"),
        ("GET /sign-in/Uj6Tiv_Xwh1kIAbMwktcC7rG5LSvwUq73LerbqM0uwc/", "GET /sign-in/***/"),
        ("GET /sign-in/", "GET /sign-in/"),
        ("two\nlines\x1b[31m", "two?lines?[31m"),
    ],
)
def test_logs_hold_no_secrets_and_no_forged_lines(line: str, expected: str) -> None:
    assert logs.redact(line) == expected


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("redis://h:1/3", "durable3"), ("redis://h:1", "durable0"), ("unix:///s?db=2", "durable2"), ("", "durable0")],
)
def test_channel_names_carry_the_number_of_the_database(url: str, prefix: str) -> None:
    assert product.channel_prefix(url) == prefix


@pytest.mark.parametrize("value", ["bank", "main.default,bank", ".bank", "main."])
def test_a_queue_that_names_no_hub_is_refused_with_what_would_do(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"DURABLE_QUEUES .* must list names of queues as <hub>\.<queue>"):
        Environment({"DURABLE_QUEUES": value}).queues("DURABLE_QUEUES", ["main.default"])
    assert Environment({}).queues("DURABLE_QUEUES", ["main.default"]) == ["main.default"]


def test_a_home_keeps_its_queues_until_others_are_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert preparation.choose_queues(Environment({}), home) == []
    named = preparation.choose_queues(Environment({"DURABLE_QUEUES": "main.default, main.bank"}), home)
    environment = parts.shared_environment({}, home, 8000, queues=named)
    preparation.record(home, parts.recorded_part(environment))
    assert preparation.choose_queues(Environment({}), home) == ["main.default", "main.bank"]
    assert preparation.choose_queues(Environment({"DURABLE_QUEUES": ""}), home) == []
