"""The tables and transactions of the work protocol, in memory: what `orchestrations.store` must be, without SQL.

Each public method is one transaction. What it leaves due and nobody's it announces in `announced`, which its caller
sends to the queue afterwards; a caller that dies in between has sent nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from orchestrations.engine.events import (
    EventRaised,
    ExecutionStarted,
    ExecutionTerminated,
    HistoryEvent,
    ParentInstance,
    SubOrchestrationInstanceCreated,
    TimerFired,
)
from orchestrations.engine.plan import TurnPlan
from orchestrations.engine.state import Status
from tests.protocol.mutants import Mutant
from tests.protocol.rows import (
    FIRST,
    ActivityRow,
    Answer,
    Commit,
    Delivery,
    InstanceRow,
    Lease,
    Letter,
    Result,
    Violation,
)

LEASE = timedelta(seconds=5)


class Tables:
    """All rows, and what the checks of the simulation remember of them."""

    def __init__(self, mutants: frozenset[Mutant] = frozenset()) -> None:
        self.mutants = mutants
        self.now = datetime(2026, 3, 1, 8, tzinfo=UTC)
        self.instances: dict[int, InstanceRow] = {}
        self.by_id: dict[str, int] = {}
        self.activities: dict[int, ActivityRow] = {}
        self.announced: list[datetime] = []
        self.dispatched: list[ActivityRow] = []
        self.consumed: set[int] = set()
        self.settled: set[int] = set()
        self.fenced = 0
        self._next_key = 0

    def has(self, mutant: Mutant) -> bool:
        """Tell whether that bug is planted."""
        return mutant in self.mutants

    def take_announced(self) -> list[datetime]:
        """Return the instants at which the queue must be woken, and forget them."""
        announced, self.announced = self.announced, []
        return announced

    # --- clients

    def create(self, started: ExecutionStarted, parent: int | None = None) -> int:
        """Create an instance and the message that starts it."""
        key = self._new_key()
        row = InstanceRow(key, started.instance_id, started.name, started.execution_id, parent=parent)
        row.parent_instance = started.parent
        self.instances[key] = row
        self.by_id[started.instance_id] = key
        self._deliver(row, started, self.now, f"start/{started.execution_id}", started.execution_id)
        return key

    def deliver(self, instance: int, event: HistoryEvent, dedup_key: str) -> bool:
        """Store a message from outside, once for each key; False if the instance has ended and takes none."""
        row = self.instances[instance]
        if row.status.is_terminal:
            return False
        if dedup_key not in row.receipts or self.has(Mutant.NO_DEDUP):
            row.receipts.add(dedup_key)
            self._deliver(row, event, self.now, dedup_key)
        return True

    # --- leases

    def claim(self, owner: str, most: int) -> tuple[list[Lease], list[Delivery], bool]:
        """Lease what is due and nobody's, at most so many of each kind; the last value says that there may be more.

        What was lost is claimed alone, lest a batch share the blame of one that kills its worker.
        """
        leases, deliveries = [], []
        due = list(self._due_instances())
        lost = [row for row in due if row.owner][:1]
        for row in lost or due[:most]:
            row.owner, row.until, row.epoch = owner, self.now + LEASE, row.epoch + 1
            if self.has(Mutant.CLAIM_CLEARS_DUE):
                row.due_at = None
            leases.append(Lease(row.key, owner, row.epoch, row.execution, len(row.history)))
        tasks = [] if lost else list(self._due_activities())
        for task in [task for task in tasks if task.owner][:1] or tasks[:most]:
            deliveries.append(self._lease(task, owner))
        is_full = bool(lost) or len(leases) == most or len(deliveries) == most
        if is_full:
            self.announced.append(self.now)
        return leases, deliveries, is_full

    def load(self, lease: Lease, skew: timedelta = timedelta()) -> list[Letter]:
        """Return the visible letters, in order of arrival."""
        row = self.instances[lease.instance]
        letters = sorted((m for m in row.inbox if m.visible_at <= self.now + skew), key=_order)
        if self.has(Mutant.EARLY_ACK):
            row.inbox = [m for m in row.inbox if m not in letters]
        return letters

    def release(self, leases: Iterable[Lease]) -> None:
        """Give leases back."""
        for lease in leases:
            row = self.instances[lease.instance]
            if (row.owner, row.epoch) == (lease.owner, lease.epoch):
                row.owner = ""
                self._announce(row)

    def put_back(self, deliveries: Iterable[Delivery]) -> None:
        """Give back attempts that were not begun."""
        for delivery in deliveries:
            task = self.activities.get(delivery.key)
            if task is not None and self._is_held(task, delivery):
                task.owner = ""
                self.announced.append(task.due_at)

    def hand_back(self, owner: str, keep: int | None = None) -> None:
        """Free all that a worker holds, but the activity that it runs."""
        for row in self.instances.values():
            if row.owner == owner:
                row.owner = ""
                self._announce(row)
        for task in self.activities.values():
            if task.owner == owner and task.key != keep:
                task.owner = ""
                self.announced.append(task.due_at)

    def renew(self, owners: Iterable[str]) -> None:
        """Lengthen the leases of living workers that have not run out."""
        living = set(owners)
        for held in self._leased():
            if held.owner in living and held.until > self.now:
                held.until = self.now + LEASE

    def expire(self, owner: str) -> None:
        """Let all leases of a dead worker run out now."""
        for held in self._leased():
            if held.owner == owner:
                held.until = self.now
                self.announced.append(self.now)

    def count_due(self) -> int:
        """Return how much is due and nobody's: what the sweeper asks."""
        return len(list(self._due_instances())) + len(list(self._due_activities()))

    def find_next(self) -> datetime | None:
        """Return the next instant at which something becomes due, or its lease runs out."""
        moments = [r.due_at for r in self.instances.values() if r.due_at is not None]
        moments += [held.until for held in self._leased() if held.owner]
        return min((m for m in moments if m > self.now), default=None)

    # --- results

    def settle(self, results: Sequence[Result]) -> None:
        """Record outcomes whose instances are not in the caller's hands: those that were still ours become messages."""
        for result in results:
            if self._remove(result):
                self._deliver_result(result)

    # --- the commit of a batch of turns

    def commit(self, commits: Sequence[Commit]) -> list[Answer]:
        """Make the plans true, each under its own lease and epoch."""
        answers = [Answer(is_dropped=not self._is_ours(c.lease), results_in_hand=c.results) for c in commits]
        if self.has(Mutant.LOST_PLANS) and not all(a.is_dropped for a in answers):
            for answer in answers:
                answer.is_dropped = False
        for c, answer in zip(commits, answers, strict=True):
            if answer.is_dropped:
                self.fenced += 1
            else:
                self._settle_own(c, answer)
        kept = [(c, a) for c, a in zip(commits, answers, strict=True) if not a.is_dropped]
        for c, answer in kept:
            self._write(c, answer)
        for c, _ in kept:
            self._send(c)
        for c, answer in kept:
            self._finish(c, answer)
        return answers

    def commit_history(self, commits: Sequence[Commit]) -> list[Answer]:
        """Do the first half of a commit, for the mutant that has two transactions."""
        answers = [Answer(is_dropped=not self._is_ours(c.lease), results_in_hand=c.results) for c in commits]
        for c, answer in zip(commits, answers, strict=True):
            if not answer.is_dropped:
                self._settle_own(c, answer)
            if not answer.is_dropped:
                self._write(c, answer)
        return answers

    def commit_rest(self, commits: Sequence[Commit], answers: Sequence[Answer]) -> None:
        """Do the second half."""
        kept = [(c, a) for c, a in zip(commits, answers, strict=True) if not a.is_dropped]
        for c, _ in kept:
            self._send(c)
        for c, answer in kept:
            self._finish(c, answer)

    def is_stored(self, c: Commit) -> bool:
        """Tell, after the answer to COMMIT was lost, whether the batch with this plan was stored."""
        row = self.instances[c.lease.instance]
        if row.epoch != c.lease.epoch or c.plan is None:
            return False
        return row.execution != c.lease.execution or len(row.history) >= c.lease.length + len(c.plan.events)

    # --- steps of a commit

    def _is_ours(self, lease: Lease) -> bool:
        row = self.instances[lease.instance]
        if not self.has(Mutant.NO_EPOCH):
            return (row.owner, row.epoch) == (lease.owner, lease.epoch)
        is_next = (row.execution, len(row.history)) == (lease.execution, lease.length)
        return is_next or self.has(Mutant.NO_UNIQUE)

    def _settle_own(self, c: Commit, answer: Answer) -> None:
        """One result that was settled elsewhere drops the plan; all of its results stay in the burst's hands."""
        if not all(self._counts(r) for r in c.results):
            answer.is_dropped = True
            return
        answer.results_in_hand = []
        for result in c.results:
            self._remove(result)

    def _write(self, c: Commit, answer: Answer) -> None:
        row, plan = self.instances[c.lease.instance], c.plan
        self._consume(row, c.consumed)
        if plan is None:
            return
        if row.status.is_terminal:
            raise Violation(f"I11: {row.instance_id} is {row.status.value}, and a turn is committed")
        row.history += plan.events
        row.status, row.turned_at = plan.status, plan.now
        if plan.custom_status_changed:
            row.custom_status = plan.custom_status
        if plan.is_terminal:
            row.output, row.failure = plan.output, plan.failure.message if plan.failure else None
        if not self.has(Mutant.EARLY_DISPATCH):
            self.dispatch(c, answer)

    def dispatch(self, c: Commit, answer: Answer) -> None:
        """Insert a plan's activities; the first `share` of them are claimed by the burst itself."""
        for place, event in enumerate(c.plan.activities if c.plan else ()):
            task = ActivityRow(self._new_key(), c.lease.instance, c.lease.execution, event, self.now)
            self.activities[task.key] = task
            self.dispatched.append(task)
            if place < c.share:
                answer.share.append(self._lease(task, c.lease.owner))
            else:
                self.announced.append(self.now)

    def _send(self, c: Commit) -> None:
        row, plan = self.instances[c.lease.instance], c.plan
        if plan is None:
            return
        for sequence in plan.withdrawn_timers:
            key = f"timer/{c.lease.execution}/{sequence}/1"
            row.inbox = [m for m in row.inbox if m.dedup_key != key]
        for timer in plan.timers:
            if timer.event_id in plan.withdrawn_timers and timer.origin != "retry":
                continue
            fired = TimerFired(
                timestamp=timer.fire_at, timer_id=timer.event_id, fire_at=timer.fire_at, attempt=timer.attempt
            )
            key = f"timer/{c.lease.execution}/{timer.event_id}/{timer.attempt or 1}"
            self._deliver(row, fired, timer.fire_at, key, c.lease.execution)
        for child in plan.children:
            self._create_child(row, child, c.lease.execution)
        for sent in plan.sends:
            receiver = self.instances.get(self.by_id.get(sent.instance_id, 0))
            if receiver is not None and not receiver.status.is_terminal:
                raised = EventRaised(timestamp=plan.now, name=sent.name, input=sent.input)
                self._deliver(receiver, raised, self.now, f"sent/{row.key}/{c.lease.execution}/{sent.event_id}")
        self._tell_relatives(row, plan)

    def _tell_relatives(self, row: InstanceRow, plan: TurnPlan) -> None:
        parent = self.instances.get(row.parent or 0)
        told = row.parent_instance
        if plan.outcome is not None and parent is not None and told is not None:
            is_awaited = parent.execution == told.execution_id and not parent.status.is_terminal
            key = f"child/{told.execution_id}/{told.task_schedule_id}/{told.attempt}"
            if is_awaited:
                self._deliver(parent, plan.outcome, self.now, key, parent.execution)
        if plan.ends_children is not None:
            for child in list(self.instances.values()):
                if child.parent == row.key and not child.status.is_terminal:
                    ended = ExecutionTerminated(timestamp=plan.now, input='"parent"')
                    self._deliver(child, ended, self.now, f"terminate/{row.key}/{row.execution}")

    def _finish(self, c: Commit, answer: Answer) -> None:
        """Clear what an ended execution has left, look at the inbox last, and set `due_at` and lease from it."""
        row, plan = self.instances[c.lease.instance], c.plan
        if plan is not None and (plan.is_terminal or plan.next_execution):
            row.inbox = [m for m in row.inbox if m.execution != c.lease.execution]
            for task in [t for t in self.activities.values() if t.instance == row.key and not t.owner]:
                if plan.status is Status.TERMINATED:
                    del self.activities[task.key]
        if plan is not None and plan.next_execution:
            row.past.append(row.history)
            row.history, row.execution = [], plan.next_execution
            for place, event in enumerate(plan.next_messages):
                scope = "" if isinstance(event, EventRaised) else plan.next_execution
                self._deliver(row, event, FIRST, f"next/{plan.next_execution}/{place}", scope)
        row.due_at = row.due()
        if self.has(Mutant.STALE_LOOK):
            seen = {m.key for m in c.loaded}
            moments = [m.visible_at for m in row.counting() if m.key in seen or m.visible_at > self.now]
            row.due_at = None if row.status.is_terminal else min(moments, default=None)
        is_due = row.due_at is not None and row.due_at <= self.now
        answer.is_kept = c.keep and not row.status.is_terminal and (is_due or bool(answer.share))
        row.owner, row.until = (c.lease.owner, self.now + LEASE) if answer.is_kept else ("", FIRST)
        answer.letters = self.load(c.lease) if answer.is_kept else []
        if not answer.is_kept:
            self._announce(row)

    # --- rows

    def _new_key(self) -> int:
        self._next_key += 1
        return self._next_key

    def _leased(self) -> Iterator[InstanceRow | ActivityRow]:
        yield from self.instances.values()
        yield from self.activities.values()

    def _due_instances(self) -> Iterator[InstanceRow]:
        for row in self.instances.values():
            if row.due_at is not None and row.due_at <= self.now and (not row.owner or row.until <= self.now):
                yield row

    def _due_activities(self) -> Iterator[ActivityRow]:
        for task in self.activities.values():
            if task.due_at <= self.now and (not task.owner or task.until <= self.now):
                yield task

    def _lease(self, task: ActivityRow, owner: str) -> Delivery:
        task.owner, task.until, task.epoch = owner, self.now + LEASE, task.epoch + 1
        return Delivery(task.key, owner, task.epoch, task.instance, task.execution, task.event)

    def _is_held(self, task: ActivityRow, delivery: Delivery) -> bool:
        return (task.owner, task.epoch) == (delivery.owner, delivery.epoch)

    def _counts(self, result: Result) -> bool:
        """Compare: is the attempt still open and ours?"""
        task = self.activities.get(result.delivery.key)
        if task is not None and self._is_held(task, result.delivery):
            return True
        self.fenced += 1
        return self.has(Mutant.BLIND_SETTLE) or self.has(Mutant.NO_EPOCH)

    def _remove(self, result: Result) -> bool:
        """Compare and set: does this outcome count?"""
        delivery = result.delivery
        if not self._counts(result):
            return False
        self.activities.pop(delivery.key, None)
        if delivery.key in self.settled:
            raise Violation(f"I5: the activity {delivery.key} is settled twice")
        self.settled.add(delivery.key)
        return True

    def _consume(self, row: InstanceRow, keys: Sequence[int]) -> None:
        again = self.consumed.intersection(keys)
        if again:
            raise Violation(f"I6: {len(again)} messages to {row.instance_id} are consumed twice")
        self.consumed.update(keys)
        wanted = set(keys)
        row.inbox = [m for m in row.inbox if m.key not in wanted]

    def _deliver(
        self, row: InstanceRow, event: HistoryEvent, visible_at: datetime, dedup_key: str, execution: str = ""
    ) -> None:
        if any(m.dedup_key == dedup_key for m in row.inbox) and not self.has(Mutant.NO_DEDUP):
            return
        letter = Letter(self._new_key(), event, visible_at, dedup_key, execution)
        row.inbox.append(letter)
        if letter.is_control or row.status is not Status.SUSPENDED:
            row.due_at = visible_at if row.due_at is None else min(row.due_at, visible_at)
        self._announce(row)

    def _deliver_result(self, result: Result) -> None:
        row, event = self.instances[result.delivery.instance], result.event
        is_current = row.execution == result.delivery.execution and not row.status.is_terminal
        if is_current or self.has(Mutant.LATE_RESULT):
            key = f"task/{result.delivery.execution}/{event.task_scheduled_id}/{event.attempt or 1}"
            self._deliver(row, event, self.now, key, result.delivery.execution)

    def _create_child(self, row: InstanceRow, event: SubOrchestrationInstanceCreated, execution: str) -> None:
        parent = ParentInstance(row.name, row.instance_id, execution, event.event_id, event.attempt or 1)
        started = ExecutionStarted(
            timestamp=event.timestamp,
            name=event.name,
            instance_id=event.instance_id,
            execution_id=f"{event.instance_id}/{execution}",
            input=event.input,
            parent=parent,
        )
        self.create(started, parent=row.key)

    def _announce(self, row: InstanceRow) -> None:
        """Who leaves a row due and nobody's wakes its queue after the commit."""
        if row.due_at is not None and (not row.owner or row.until <= self.now):
            self.announced.append(row.due_at)


def _order(letter: Letter) -> tuple[datetime, int]:
    return letter.visible_at, letter.key
