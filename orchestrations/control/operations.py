"""What a person may do to instances. Each verb is one transaction: lock, checks, the client's call, audit row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from orchestrations.authoring.registry import ORCHESTRATOR, name_of
from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.client.requests import EventRequest, StartRequest
from orchestrations.client.status import InstanceFacts
from orchestrations.control import audit
from orchestrations.control.actors import Actor
from orchestrations.control.decisions import Outcome, list_open, who_decided
from orchestrations.control.permissions import Permission, can, is_approval
from orchestrations.control.staleness import ExpectedState, require_current
from orchestrations.errors import (
    AlreadyDecidedError,
    DurableError,
    InstanceNotFoundError,
    InvalidError,
    NotWaitingError,
    PermissionDenied,
)
from orchestrations.store import clock, hubs, inbox


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of one actor in one task hub.

    Every verb raises `PermissionDenied`, `InstanceNotFoundError`, `WrongStatusError` where the status does not admit
    it, and with `expected` also `StaleRevisionError`. A verb that raises has changed nothing but the audit, which
    records each refusal with its code. Call them outside of a transaction, else that record is rolled back with it.
    """

    actor: Actor
    hub: str

    def start(
        self,
        name: str,
        instance_id: str | None = None,
        input_json: str | None = None,
        *,
        version: str | None = None,
        tags: Mapping[str, str] | None = None,
        if_exists: str = "error",
    ) -> str:
        """Start an orchestration; `InstanceExistsError` by `if_exists`. Durable on return."""
        with self._attempt("start", instance_id or "", {"name": name}):
            self._require(Permission.INSTANCES_START)
            found = DurableClient(self.hub).start_new(
                name, instance_id, version=version, tags=tags, if_exists=if_exists, input_json=input_json
            )
            audit.record(self.hub, self.actor, "start", instance_id=found, detail={"name": name, "revision": 0})
        return found

    def start_many(self, requests: Sequence[StartRequest], *, if_exists: str = "error") -> list[str]:
        """Start orchestrations, all of them or none; return their ids. Durable on return."""
        with self._attempt("start", "", {"count": len(requests)}):
            self._require(Permission.INSTANCES_START)
            found = DurableClient(self.hub).start_many(requests, if_exists=if_exists)
            names = [name_of(ORCHESTRATOR, request.name) for request in requests]
            details = {one: {"name": name, "revision": 0} for one, name in zip(found, names, strict=True)}
            audit.record_all(self.hub, self.actor, "start", details)
        return found

    def raise_event(
        self,
        instance_id: str,
        event_name: str,
        data_json: str | None = None,
        *,
        event_id: str | None = None,
        expected: ExpectedState | None = None,
    ) -> bool:
        """Send an event; idempotent by `event_id`: False, and no second row, if it was accepted before.

        An event whose name makes it a decision is refused but to the console: it goes through `decide`.
        """
        facts = {"event_name": event_name, "event_id": event_id}
        with self._attempt("raise-event", instance_id, facts):
            self._require(Permission.EVENTS_WRITE)
            self._refuse_decision(event_name)

            def send(client: DurableClient) -> bool:
                return client.raise_event(instance_id, event_name, event_id=event_id, data_json=data_json)

            return self._run("raise-event", instance_id, send, expected=expected, detail=facts)

    def raise_events(self, requests: Sequence[EventRequest]) -> list[bool]:
        """Send events, all of them or none, as `raise_event` does; say of each whether it is new."""
        with self._attempt("raise-event", "", {"count": len(requests)}):
            self._require(Permission.EVENTS_WRITE)
            for request in requests:
                self._refuse_decision(request.event_name)
            answers = DurableClient(self.hub).raise_events(requests)
            taken = [one for one, is_new in zip(requests, answers, strict=True) if is_new]
            details = {one.instance_id: {"event_name": one.event_name, "event_id": one.event_id} for one in taken}
            audit.record_all(self.hub, self.actor, "raise-event", details)
        return answers

    def _refuse_decision(self, event_name: str) -> None:
        if is_approval(event_name) and not self.actor.is_console:
            self._require(Permission.APPROVALS_DECIDE)
            advice = "Use Approve or Reject where the instance waits for it."
            raise InvalidError(f"An event named '{event_name}' is a decision. {advice}", code="event.is-decision")

    def suspend(self, instance_id: str, reason: str = "", *, expected: ExpectedState | None = None) -> bool:
        """Suspend; False, and no row, if it is suspended already."""
        with self._attempt("suspend", instance_id, reason=reason):
            self._require(Permission.INSTANCES_CONTROL)
            return self._run(
                "suspend",
                instance_id,
                lambda client: client.suspend(instance_id, reason),
                expected=expected,
                reason=reason,
            )

    def resume(self, instance_id: str, reason: str = "", *, expected: ExpectedState | None = None) -> bool:
        """Resume; False, and no row, if it is not suspended."""
        with self._attempt("resume", instance_id, reason=reason):
            self._require(Permission.INSTANCES_CONTROL)
            return self._run(
                "resume",
                instance_id,
                lambda client: client.resume(instance_id, reason),
                expected=expected,
                reason=reason,
            )

    def terminate(
        self, instance_id: str, reason: str = "", *, recursive: bool = True, expected: ExpectedState | None = None
    ) -> None:
        """Terminate the instance and, with `recursive`, its live descendants."""

        def end(client: DurableClient) -> bool:
            client.terminate(instance_id, reason, recursive=recursive)
            return True

        with self._attempt("terminate", instance_id, reason=reason):
            self._require(Permission.INSTANCES_TERMINATE)
            self._run("terminate", instance_id, end, expected=expected, reason=reason)

    def decide(self, instance_id: str, decision_id: str, outcome: Outcome, comment: str = "") -> None:
        """Decide what the instance waits for: exactly once per wait, however many try at the same time.

        Raises `AlreadyDecidedError` (who, what and when) for all but the first, `NotWaitingError` if it does not wait
        for that decision, `InvalidError` for a rejection without a comment.
        """
        with self._attempt(outcome.action, instance_id, {"event_id": decision_id}, reason=comment):
            self._require(Permission.APPROVALS_DECIDE)
            if outcome is Outcome.REJECTED and not comment.strip():
                raise InvalidError("A rejection needs a comment.", code="approval.comment-required")
            instance = self._lock(instance_id)
            wait = dict(list_open(instance)).get(decision_id)
            if wait is None or not self._send_decision(instance, wait.name, decision_id, outcome, comment):
                raise self._too_late(instance_id, decision_id, wait.name if wait else "Approval")
            detail = {"event_name": wait.name, "event_id": decision_id, "revision": instance.revision}
            audit.record(self.hub, self.actor, outcome.action, instance_id=instance_id, reason=comment, detail=detail)

    def _send_decision(
        self, instance: InstanceFacts, name: str, decision_id: str, outcome: Outcome, comment: str
    ) -> bool:
        at = clock.now().isoformat(timespec="seconds")
        payload = {"outcome": outcome.value, "by": self.actor.name, "comment": comment, "at": at}
        return DurableClient(self.hub).raise_event(instance.instance_id, name, payload, event_id=decision_id)

    def _too_late(self, instance_id: str, decision_id: str, event_name: str) -> AlreadyDecidedError | NotWaitingError:
        earlier = who_decided(instance_id, decision_id, audit.list_past_actions(self.hub, instance_id))
        return earlier or NotWaitingError(instance_id, event_name)

    def _run(
        self,
        action: str,
        instance_id: str,
        act: Callable[[DurableClient], bool],
        *,
        expected: ExpectedState | None,
        reason: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> bool:
        instance = self._lock(instance_id)
        if expected is not None:
            require_current(instance, expected, audit.list_past_actions(self.hub, instance_id))
        done = act(DurableClient(self.hub))
        if done:
            facts = {**(detail or {}), "revision": instance.revision}
            audit.record(self.hub, self.actor, action, instance_id=instance_id, reason=reason, detail=facts)
        return done

    def _lock(self, instance_id: str) -> InstanceFacts:
        """Lock the instance first and read it by a later statement: what is read then is what the lock protects."""
        if inbox.lock_named(self.hub, instance_id) is None:
            raise InstanceNotFoundError(instance_id)
        return queries.get_facts(self.hub, instance_id)

    @contextmanager
    def _attempt(
        self, action: str, instance_id: str, detail: Mapping[str, Any] | None = None, *, reason: str = ""
    ) -> Iterator[None]:
        """Run the block in a transaction; record why it was refused after that has been rolled back.

        A hub that is not there has no audit: `HubNotFoundError`, or `InvalidError` for its name, is all there is.
        """
        hubs.find(self.hub)
        try:
            with transaction.atomic():
                yield
        except DurableError as error:
            result = audit.DENIED if isinstance(error, PermissionDenied) else audit.REFUSED
            facts = {**(detail or {}), "code": error.code}
            audit.record(
                self.hub, self.actor, action, instance_id=instance_id, reason=reason, detail=facts, result=result
            )
            raise

    def _require(self, permission: Permission) -> None:
        if not can(self.actor, permission, self.hub):
            raise PermissionDenied(permission.value)
