"""The read side, by noun. Everything answers with frozen values of `client.status`, never with models or query sets.

Every call is one read, or a few; none takes a lock. Lists never read payloads. Hubs, ids and texts that no column
could hold find nothing.
"""

from orchestrations.client.queries.audit import list_audit
from orchestrations.client.queries.counts import count_instances, count_newer
from orchestrations.client.queries.filters import InstanceFilter
from orchestrations.client.queries.health import read_health
from orchestrations.client.queries.history import find_names, list_history
from orchestrations.client.queries.hubs import has_hub, list_hubs
from orchestrations.client.queries.instances import (
    find_facts,
    find_instance,
    find_payload,
    find_version,
    get_facts,
    get_instance,
    list_children,
    list_instances,
    read_status,
)
from orchestrations.client.queries.snapshots import list_snapshot, list_snapshot_revisions, make_snapshot

__all__ = [
    "InstanceFilter",
    "count_instances",
    "count_newer",
    "find_facts",
    "find_instance",
    "find_names",
    "find_payload",
    "find_version",
    "get_facts",
    "get_instance",
    "has_hub",
    "list_audit",
    "list_children",
    "list_history",
    "list_hubs",
    "list_instances",
    "list_snapshot",
    "list_snapshot_revisions",
    "make_snapshot",
    "read_health",
    "read_status",
]
