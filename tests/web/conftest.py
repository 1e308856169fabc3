"""What the process remembers of hubs goes with the database's content; a client for each of the people."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.test import Client

from orchestrations.store import hubs
from tests.people import make_user

SignedIn = Callable[..., Client]


@pytest.fixture(autouse=True)
def _forgetful_process(db: None) -> Iterator[None]:
    hubs.forget()
    yield
    hubs.forget()


@pytest.fixture
def signed_in() -> SignedIn:
    """Return a function that returns a browser in which a person has signed in."""

    def make(name: str = "operator", *roles: str, **options: object) -> Client:
        client = Client(**options)  # type: ignore[arg-type]
        client.force_login(make_user(name, *roles))
        return client

    return make
