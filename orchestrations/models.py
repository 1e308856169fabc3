"""The door that Django asks for: the tables are in `store.models`."""

from orchestrations.store.models import *  # noqa: F403
from orchestrations.store.models import __all__  # noqa: F401
