"""A region's name and what it shows, as a signed text: what browsers send back, by socket and as an address."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from django.core.signing import BadSignature, Signer
from django.urls import reverse

SALT = "orchestrations.region"
KEY_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Region:
    """One live part of one page. `name` is its DOM id; what the other fields mean depends on it."""

    name: str
    hub: str
    instance_id: str = ""
    query: str = ""
    snapshot: str = ""
    since: str = ""

    @property
    def key(self) -> str:
        """The signed text that stands for this region. The same region always has the same key."""
        values = list(astuple(self))
        while values[-1] == "":
            values.pop()
        return Signer(salt=SALT).sign_object(values, compress=True)

    @property
    def url(self) -> str:
        """Where it is fetched again."""
        return reverse("region", args=[self.key])


def read_key(key: object) -> Region | None:
    """Return the region of a key that we have signed, or None."""
    if not isinstance(key, str) or len(key) > KEY_LIMIT:
        return None
    try:
        values = Signer(salt=SALT).unsign_object(key)
        return Region(*values)
    except (BadSignature, ValueError, TypeError):
        return None
