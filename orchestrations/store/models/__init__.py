"""The tables. Rows and constraints only: the verbs are functions in the modules beside this one, and only they write.

An instance is three rows. `Instance` holds the facts that people query, which change when it begins, is suspended or
ends; `Schedule` is the narrow row that workers claim, and that every turn writes; `Payload` holds the texts that no
list reads. An instance's lock is the lock of its `Schedule` row.

`InboxMessage` (on its way to an instance) and `ActivityTask` (not yet settled) hold nothing but open rows. Payloads are
TEXT of canonical JSON, never a JSON column: databases re-order and re-write those (`jsonb`), and an author must see on
replay exactly what he saw first.

Rows of an instance have no foreign key in the database: they are written under its lock, for which the row is found
first, so the check would ask once more, for every row at every COMMIT, what the lock has told already. Nor have they
an index for that key alone where another index begins with it.
"""

from orchestrations.store.models.activities import ActivityTask
from orchestrations.store.models.hubs import TaskHub
from orchestrations.store.models.instances import Gate, HistoryPart, Instance, Payload, Schedule
from orchestrations.store.models.messages import EventReceipt, InboxMessage
from orchestrations.store.models.people import AuditEntry, RateLimit, SignInLink
from orchestrations.store.models.processes import Supervisor, Worker, WorkerCode, WorkerLoss

__all__ = [
    "ActivityTask",
    "AuditEntry",
    "EventReceipt",
    "Gate",
    "HistoryPart",
    "InboxMessage",
    "Instance",
    "Payload",
    "RateLimit",
    "Schedule",
    "SignInLink",
    "Supervisor",
    "TaskHub",
    "Worker",
    "WorkerCode",
    "WorkerLoss",
]
