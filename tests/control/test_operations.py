"""Who may do what; what each operation leaves in the audit; what a stale page is told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.control.actors import Actor, Role
from orchestrations.control.decisions import Outcome, list_open
from orchestrations.control.operations import Operations
from orchestrations.control.permissions import GRANTS, Permission, can
from orchestrations.control.staleness import ExpectedState
from orchestrations.engine.state import Status
from orchestrations.errors import (
    AlreadyDecidedError,
    DurableError,
    InstanceNotFoundError,
    InvalidError,
    NotWaitingError,
    PermissionDenied,
    StaleRevisionError,
    WrongStatusError,
)
from orchestrations.store.models import AuditEntry, EventReceipt, InboxMessage
from tests.bursts import drain, status_of
from tests.people import HUB, PEOPLE, change, make_actor, make_row, waiting_for

Verb = Callable[[Operations, str], object]


def _decide(operations: Operations, instance_id: str) -> None:
    (decision_id, _), *_ = list_open(queries.get_instance(HUB, instance_id))
    operations.decide(instance_id, decision_id, Outcome.APPROVED)


VERBS: dict[str, tuple[Verb, Permission]] = {
    "start": (lambda o, i: o.start("E1_HelloSequence", f"new-{i}"), Permission.INSTANCES_START),
    "raise-event": (lambda o, i: o.raise_event(i, "Paid", "1"), Permission.EVENTS_WRITE),
    "suspend": (lambda o, i: o.suspend(i, "holiday"), Permission.INSTANCES_CONTROL),
    "resume": (lambda o, i: o.resume(i), Permission.INSTANCES_CONTROL),
    "terminate": (lambda o, i: o.terminate(i, "enough"), Permission.INSTANCES_TERMINATE),
    "approve": (_decide, Permission.APPROVALS_DECIDE),
}
ALLOWED = {
    "start": {"operator", "admin"},
    "raise-event": {"operator", "admin"},
    "suspend": {"operator", "admin"},
    "resume": {"operator", "admin"},
    "terminate": {"operator", "admin"},
    "approve": {"approver"},
}


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("verb", VERBS)
def test_matrix(person: str, verb: str) -> None:
    act, permission = VERBS[verb]
    status = Status.SUSPENDED if verb == "resume" else Status.RUNNING
    row = make_row(status=status, waiting=waiting_for("Approval"))
    actor = make_actor(person)
    is_allowed = person in ALLOWED[verb]
    assert can(actor, permission, HUB) is is_allowed
    if is_allowed:
        act(Operations(actor, HUB), row.instance_id)
    else:
        with pytest.raises(PermissionDenied):
            act(Operations(actor, HUB), row.instance_id)
        assert not InboxMessage.objects.exists(), "a denied operation has left something"
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action) == (person, verb)
    assert entry.result == ("done" if is_allowed else "denied")


def test_nobody_has_every_permission_and_admins_decide_nothing() -> None:
    assert Permission.APPROVALS_DECIDE not in GRANTS[Role.ADMIN]
    assert not can(None, Permission.INSTANCES_READ, HUB)
    assert not can(make_actor("stranger"), Permission.INSTANCES_READ, HUB)
    assert all(Permission.AUDIT_READ not in GRANTS[role] for role in Role if role is not Role.ADMIN)


def test_superuser_is_an_admin_and_an_inactive_user_nobody() -> None:
    from orchestrations.control.actors import actor_from_user
    from tests.people import make_user

    user = make_user("root")
    user.is_superuser = True
    found = actor_from_user(user)
    assert found is not None
    assert found.roles == {Role.ADMIN}
    user.is_active = False
    assert actor_from_user(user) is None


def test_operation_that_is_refused_leaves_nothing_but_its_audit_row() -> None:
    operations = Operations(make_actor("operator"), HUB)
    done = make_row(status=Status.COMPLETED)
    refusals: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: operations.suspend("nothing"), InstanceNotFoundError, "instance.unknown"),
        (lambda: operations.suspend("no\x00thing"), InstanceNotFoundError, "instance.unknown"),
        (lambda: operations.terminate(done.instance_id, "why not"), WrongStatusError, "instance.terminal"),
        (lambda: operations.start("nobody\x00knows", "it"), DurableError, ""),
        (
            lambda: operations.suspend(done.instance_id, expected=ExpectedState(0, Status.RUNNING)),
            StaleRevisionError,
            "instance.changed",
        ),
    ]
    for act, kind, code in refusals:
        with pytest.raises(kind) as caught:
            act()
        entry = AuditEntry.objects.latest("id")
        assert (entry.actor, entry.result) == ("operator", "refused")
        assert json.loads(entry.detail)["code"] == (code or caught.value.code)  # type: ignore[attr-defined]
    assert AuditEntry.objects.count() == len(refusals)
    assert not InboxMessage.objects.exists()


def test_event_is_sent_once_per_token() -> None:
    row, operations = make_row(), Operations(make_actor("operator"), HUB)
    assert operations.raise_event(row.instance_id, "Paid", "1", event_id="token")
    assert not operations.raise_event(row.instance_id, "Paid", "1", event_id="token")
    assert InboxMessage.objects.count() == AuditEntry.objects.count() == 1


def test_event_that_is_a_decision_goes_through_decide_only() -> None:
    row = make_row(waiting=waiting_for("ManagerApproval"))
    with pytest.raises(PermissionDenied):
        Operations(make_actor("operator"), HUB).raise_event(row.instance_id, "managerAPPROVAL")
    with pytest.raises(InvalidError, match="is a decision"):
        Operations(make_actor("both", "operator", "approver"), HUB).raise_event(row.instance_id, "ManagerApproval")
    assert not InboxMessage.objects.exists()


# --- stale pages --------------------------------------------------------------------------------------------------
def test_status_that_has_changed_is_told_with_who_did_it() -> None:
    row = make_row(revision=7)
    expected = ExpectedState(7, Status.RUNNING)
    Operations(make_actor("Bo", "operator"), HUB).suspend(row.instance_id, "bank holiday")
    change(row, status=Status.SUSPENDED, revision=8)  # the worker's turn
    with pytest.raises(StaleRevisionError, match=r"Bo suspended it at .*bank holiday.*was Running and is Suspended"):
        Operations(make_actor("operator"), HUB).raise_event(row.instance_id, "Paid", expected=expected)
    Operations(make_actor("operator"), HUB).raise_event(row.instance_id, "Paid", expected=None)  # apply anyway
    results = AuditEntry.objects.order_by("id").values_list("action", "result")
    assert list(results) == [("suspend", "done"), ("raise-event", "refused"), ("raise-event", "done")]


@pytest.mark.parametrize(("status", "now"), [(Status.RUNNING, Status.RUNNING), (Status.PENDING, Status.RUNNING)])
def test_progress_alone_does_not_make_a_page_stale(status: Status, now: Status) -> None:
    row = make_row(revision=9, status=now)
    assert Operations(make_actor("operator"), HUB).suspend(row.instance_id, expected=ExpectedState(3, status))


def test_ended_meanwhile_is_stale() -> None:
    row = make_row(revision=9, status=Status.COMPLETED)
    with pytest.raises(StaleRevisionError, match="is Completed since"):
        Operations(make_actor("operator"), HUB).terminate(
            row.instance_id, "x", expected=ExpectedState(3, Status.RUNNING)
        )


# --- decisions ----------------------------------------------------------------------------------------------------
def _approval(name: str = "E4_Approval") -> tuple[str, str]:
    instance_id = DurableClient().start_new(name)
    drain()
    (decision_id, _), *_ = list_open(queries.get_instance(HUB, instance_id))
    return instance_id, decision_id


def _approver(name: str) -> Actor:
    return make_actor(name, "approver")


def test_decision_reaches_the_orchestrator_with_who_and_why() -> None:
    instance_id, decision_id = _approval()
    Operations(_approver("Ana"), HUB).decide(instance_id, decision_id, Outcome.REJECTED, "too dear")
    body = json.loads(InboxMessage.objects.get(kind="EventRaised").body)
    payload = json.loads(body["Input"])
    assert (payload["outcome"], payload["by"], payload["comment"]) == ("rejected", "Ana", "too dear")
    drain()
    assert DurableClient().get_status(instance_id).output == {"outcome": "rejected", "by": "Ana"}


@pytest.mark.parametrize("is_consumed", [False, True])
def test_second_decision_reads_whose_the_first_was(is_consumed: bool) -> None:
    instance_id, decision_id = _approval()
    Operations(_approver("Ana"), HUB).decide(instance_id, decision_id, Outcome.REJECTED, "no")
    if is_consumed:
        drain()
    with pytest.raises(AlreadyDecidedError, match=r"Already rejected by Ana at \d{4}-"):
        Operations(_approver("Ben"), HUB).decide(instance_id, decision_id, Outcome.APPROVED)
    assert EventReceipt.objects.count() == 1
    results = AuditEntry.objects.order_by("id").values_list("actor", "action", "result")
    assert list(results) == [("Ana", "reject", "done"), ("Ben", "approve", "refused")]


def test_two_waits_of_one_name_are_two_decisions_each_accepted_once() -> None:
    instance_id, first = _approval("two_of_two")
    Operations(_approver("Ana"), HUB).decide(instance_id, first, Outcome.APPROVED)
    with pytest.raises(AlreadyDecidedError, match="Already approved by Ana"):
        Operations(_approver("Ben"), HUB).decide(instance_id, first, Outcome.APPROVED)
    drain()
    [(second, wait)] = list_open(queries.get_instance(HUB, instance_id))
    assert (second != first, wait.name) == (True, "approval")
    Operations(make_actor("Ben", "approver"), HUB).decide(instance_id, second, Outcome.APPROVED)
    for decision_id in (first, second):
        with pytest.raises(AlreadyDecidedError):
            Operations(_approver("Cleo"), HUB).decide(instance_id, decision_id, Outcome.REJECTED, "late")
    drain()
    assert DurableClient().get_status(instance_id).output == ["Ana", "Ben"]


def test_decision_that_nobody_asked_for() -> None:
    row = make_row()
    with pytest.raises(NotWaitingError):
        Operations(_approver("Ana"), HUB).decide(row.instance_id, "decision/x/y", Outcome.APPROVED)


def test_rejection_needs_a_comment() -> None:
    instance_id, decision_id = _approval()
    with pytest.raises(InvalidError, match="needs a comment"):
        Operations(_approver("Ana"), HUB).decide(instance_id, decision_id, Outcome.REJECTED, "  ")
    assert AuditEntry.objects.get().result == "refused"


def test_admin_terminates_a_parent_and_its_children_end_too() -> None:
    parent = DurableClient().start_new("parent", client_input=["a", "b"])
    drain()
    children = queries.list_children(HUB, parent)
    assert len(children) == 2
    Operations(make_actor("admin"), HUB).terminate(parent, "enough")
    assert (AuditEntry.objects.get().action, AuditEntry.objects.get().reason) == ("terminate", "enough")
    drain()
    assert status_of(parent) == Status.TERMINATED
    assert {child.status for child in queries.list_children(HUB, parent)} == {Status.TERMINATED}


def test_an_id_that_no_column_can_hold_is_not_found_and_its_refusal_is_recorded() -> None:
    for instance_id in ("nul \x00", "half \ud800"):
        with pytest.raises(InstanceNotFoundError):
            Operations(make_actor("operator"), HUB).suspend(instance_id)
        with pytest.raises(PermissionDenied):
            Operations(make_actor("viewer"), HUB).suspend(instance_id)
    results = AuditEntry.objects.order_by("id").values_list("instance_id", "result")
    assert list(results)[:2] == [("nul \ufffd", "refused"), ("nul \ufffd", "denied")]
    assert list(results)[2:] == [("half ?", "refused"), ("half ?", "denied")]
