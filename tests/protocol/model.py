"""The work protocol as a small machine that can be explored exhaustively: claims across instances, one wake per queue.

A database transaction is one step, and so is every Redis command; a process can stop between any two. Two workers, two
messages to one or two instances, an activity, a timer or a result that is sent on. `exploration` walks through every
state that can be reached. The bugs are switched on by name, in models that exist only here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.protocol.model_state import (
    A_MESSAGE,
    B_MESSAGE,
    CLAIM,
    COMMIT,
    DONE,
    HELD,
    HOLD,
    IDLE,
    LAPSED,
    NEVER,
    NONE,
    NOW,
    OPEN,
    OWED,
    POPPED,
    REST,
    RESULT,
    RESULT_MESSAGE,
    RUNS,
    SENT_MESSAGE,
    TIMER_MESSAGE,
    UNBEGUN,
    UNDELETED,
    UNKNOWN,
    State,
    Twice,
    World,
)

Step = tuple[State, bool]
ACTIVITY = -1
"""Stands for the activity in a claim."""


class Program(NamedTuple):
    """What the orchestrations do: who gets the messages, what consuming A makes, who is sent the result on."""

    instances: int
    targets: dict[int, int]
    makes: str
    sends_to: int | None
    all_messages: int
    has_row_locks: bool


PROGRAMS = {
    "one": Program(1, {A_MESSAGE: 0, B_MESSAGE: 0}, "activity", None, 1 | 2 | 4, False),
    "two": Program(2, {A_MESSAGE: 0, B_MESSAGE: 1}, "activity", None, 1 | 2 | 4, False),
    "send": Program(2, {A_MESSAGE: 0, B_MESSAGE: 1}, "activity", 1, 1 | 2 | 4 | 8, True),
    "timer": Program(1, {A_MESSAGE: 0, B_MESSAGE: 0}, "timer", None, 1 | 2 | 16, False),
}


@dataclass(frozen=True)
class Variant:
    """What is explored: a program, the size of a claim, how many faults of which kinds, and what is broken."""

    program: str
    claim_size: int = 1
    faults: int = 0
    has_sweeper: bool = False
    bugs: frozenset[str] = frozenset()
    kinds: frozenset[str] | None = None
    is_endless: bool = False


class Model:
    """The machine: `start()`, `is_done(state)`, and `steps(state)`, which are all that can happen next."""

    def __init__(self, variant: Variant) -> None:
        program = PROGRAMS[variant.program]
        self.variant, self.program = variant, program
        self.size, self.sends_to = variant.claim_size, program.sends_to
        self.has_locks = program.has_row_locks or self.has("wake before commit")
        # an activity that never ends: all else must be done all the same
        self.all_messages = A_MESSAGE | B_MESSAGE if variant.is_endless else program.all_messages
        self.state: State
        self.out: list[Step] = []

    def has(self, bug: str) -> bool:
        """Tell whether that bug is switched on."""
        return bug in self.variant.bugs

    def start(self) -> State:
        """Return the state in which the clients have their messages and nobody has done anything."""
        rows = ((0, NEVER, OPEN, 0),) * self.program.instances
        return (0, 0, 0, A_MESSAGE | B_MESSAGE, rows, NONE, 0, 0, 0, 0, 0, 0, (REST, REST))

    def is_done(self, state: State) -> bool:
        """Tell whether every message is consumed and no client waits."""
        return bool(state[6] == self.all_messages and not state[3])

    def steps(self, state: State) -> list[Step]:
        """Return (next state, was it a fault) for everything that can happen. Raises `Twice`."""
        self.out, self.state = [], state
        self._clients()
        self._redis()
        self._clocks()
        workers = state[12]
        for number, worker in enumerate(workers):
            if number and worker == workers[0]:
                continue  # two workers in the same place are one case
            self._worker(number, *worker)
            if worker[0] != IDLE:
                w = self._world()
                self._unlock(w, worker)
                w.workers[number] = REST
                self._fault(w, "crash")
        return self.out

    def _world(self, number: int | None = None, *worker: Any) -> World:
        w = World(self.state)
        if number is not None:
            w.workers[number] = worker
        return w

    def _add(self, w: World) -> None:
        self.out.append((w.freeze(), False))

    def _fault(self, w: World, kind: str) -> None:
        kinds = self.variant.kinds
        if self.state[11] < self.variant.faults and (kinds is None or kind in kinds):
            w.faults += 1
            self.out.append((w.freeze(), True))

    # --- the world around the workers

    def _clients(self) -> None:
        """Lock the row, then insert a message, lower `due_at` and commit; or roll back, and the client gives up."""
        for message, instance in self.program.targets.items():
            if not self.state[3] & message:
                continue
            w = self._world()
            if self.has_locks and not w.rows[instance][3]:
                w.rows[instance][3] = message
                w.sets += self.has("wake before commit")
                self._add(w)
            elif not self.has_locks or w.rows[instance][3] == message:
                self._deliver(w, message, instance)

    def _deliver(self, w: World, message: int, instance: int) -> None:
        w.pending, w.rows[instance][3] = w.pending & ~message, 0
        w.deliver(instance, message, counts=not self.has("delivery without count"))
        if not self.has("wake before commit"):
            w.wake_for([instance])
        self._add(w)
        if self.has_locks:
            w = self._world()
            given_up = self.all_messages & ~B_MESSAGE if message == A_MESSAGE else message
            w.pending, w.consumed, w.rows[instance][3] = w.pending & ~message, w.consumed | given_up, 0
            self._fault(w, "rollback")

    def _redis(self) -> None:
        """Wakes on their way: SET, enqueue, and all that can be lost, doubled or stuck between them."""
        sets, enqueues, key, jobs = self.state[7:11]
        if sets:
            w = self._world()
            w.sets -= 1
            self._fault(w, "unsent")  # died between COMMIT and SET
            w = self._world()
            w.sets -= 1
            if not key:
                w.key, w.enqueues = 1, enqueues + 1
            self._add(w)
        if enqueues:
            w = self._world()
            w.enqueues, w.jobs = enqueues - 1, jobs + 1
            self._add(w)
            w = self._world()
            w.enqueues -= 1
            self._fault(w, "stuck")  # died between SET and enqueue: the key stands alone
        if key and enqueues + jobs < 2:
            w = self._world()
            w.key = 0
            self._add(w)  # the key's time is over
        if jobs:
            for kind, then in (("lost", (jobs - 1, key)), ("doubled", (jobs + 1, key)), ("flush", (0, 0))):
                w = self._world()
                w.jobs, w.key = then
                self._fault(w, kind)

    def _clocks(self) -> None:
        """Timers come due, published instants arrive, leases run out, the sweeper looks."""
        s = self.state
        if not s[0] and any(row[0] & TIMER_MESSAGE for row in s[4]):
            w = self._world()
            w.clock, w.plan, w.sets = 1, 0, w.sets + w.plan  # a supervisor that had planned for this instant wakes
            for row in w.rows:
                row[1] = min(row[1], NOW)
            self._add(w)
        if s[2]:
            w = self._world()
            w.publishes = 0
            self._fault(w, "unsent")
            w = self._world()
            w.publishes, w.plan, w.sets = 0, int(not w.clock), w.sets + w.clock
            self._add(w)
        self._lapses()
        is_due = s[5] in (OPEN, LAPSED) or any(_may_be_claimed(row) for row in s[4])
        if self.variant.has_sweeper and not any(s[7:11]) and is_due:
            w = self._world()
            w.sets = 1
            self._add(w)

    def _lapses(self) -> None:
        """Leases of the dead run out, those of the living by fault."""
        for i, row in enumerate(self.state[4]):
            if row[2] == HELD:
                w = self._world()
                w.rows[i][2] = LAPSED
                self._lapse(w, any(j == i and mine for worker in self.state[12] for j, mine, *_ in worker[1]))
        if self.state[5] == HELD:
            w = self._world()
            w.activity = LAPSED
            self._lapse(w, any(worker[2] and worker[2][1] for worker in self.state[12]))

    def _lapse(self, w: World, is_alive: bool) -> None:
        if is_alive:
            self._fault(w, "lapse")
        else:
            self._add(w)

    # --- a worker's job

    def _worker(self, n: int, phase: int, held: tuple[Any, ...], activity: tuple[Any, ...], extra: Any) -> None:
        if phase == IDLE and self.state[10]:
            w = self._world(n, POPPED, (), (), ())
            w.jobs -= 1
            self._add(w)
        elif phase == POPPED and self.has("claim before delete"):
            self._claim(n, UNDELETED)
        elif phase in (POPPED, UNDELETED):
            then = CLAIM if phase == POPPED else HOLD if held or activity else IDLE
            w = self._world(n, then, held, activity, ())
            w.key = 0
            if self.has("bell silenced after the claim") and phase == UNDELETED:
                w.jobs = max(0, w.jobs - 1)
            self._add(w)
        elif phase == CLAIM:
            self._claim(n, HOLD)
        elif phase == COMMIT:
            self._commit(n, held, activity, extra)
        elif phase == HOLD:
            self._hold(n, held, activity)

    def _claim(self, n: int, then: int) -> None:
        """One transaction: up to k of what is due and nobody's; rows that are locked are skipped."""
        s = self.state
        due = [i for i, row in enumerate(s[4]) if _may_be_claimed(row) and not row[3]]
        due += [ACTIVITY] * (s[5] in (OPEN, LAPSED))
        if not due:
            self._add(self._world(n, then if then == UNDELETED else IDLE, (), (), ()))
            return
        for chosen in _choices(due, self.size):
            w = self._world()
            for i in chosen:
                w.new_epoch(i)
                if i == ACTIVITY:
                    w.activity = HELD
                else:
                    w.rows[i][2] = HELD
                    if self.has("claim clears due_at"):
                        w.rows[i][1] = NEVER
            held = tuple((i, True, -1, UNKNOWN) for i in chosen if i != ACTIVITY)
            w.workers[n] = (then, held, (UNBEGUN, True) if ACTIVITY in chosen else (), ())
            w.sets += len(chosen) == self.size and not self.has("full claim without wake")
            self._add(w)

    def _hold(self, n: int, held: tuple[Any, ...], activity: tuple[Any, ...]) -> None:
        """Load, turn, run the activity, settle, or give back."""
        s, stage = self.state, activity[0] if activity else 0
        is_free = not any(s[4][i][3] for i, *_ in held)
        is_loaded = all(messages >= 0 for _, _, messages, _ in held)
        if not held and not activity:
            self._add(self._world(n, CLAIM, (), (), ()))  # claim again, or give the job back
            self._add(self._world(n, *REST))
            if s[10]:
                self._answer_bell(n)
        elif stage == RUNS:
            self._run(n, held, activity, is_free=is_free)
        elif not is_loaded:
            self._load(n, held, activity)
        elif held:
            self._begin(n, held, activity)
            if self.has("look before count"):
                self._add(self._world(n, HOLD, tuple((i, mine, m, m) for i, mine, m, _ in held), activity, ()))
        if stage == UNBEGUN and is_loaded:
            self._add(self._world(n, HOLD, held, (RUNS, activity[1]), ()))
        if stage == RESULT and not any(i == 0 for i, *_ in held) and not s[4][0][3]:
            self._settle_elsewhere(n, held, activity)
        if stage in (0, UNBEGUN) and (held or activity) and is_free:
            self._give_back(n, held, activity)

    def _answer_bell(self, n: int) -> None:
        """The attendant silences its bell and claims. A bell is a job like others here: when its attendant is busy for
        long or gone, somebody makes it one for all."""
        if self.has("bell silenced after the claim"):
            self._claim(n, UNDELETED)
            return
        w = self._world(n, CLAIM, (), (), ())
        w.key, w.jobs = 0, w.jobs - 1
        self._add(w)

    def _load(self, n: int, held: tuple[Any, ...], activity: tuple[Any, ...]) -> None:
        """Look at the inboxes; the count of arrivals was read before, by the claim. A lease that had run out may owe
        something still: it counts as lost."""
        w = self._world()
        if w.activity == OWED and any(i == 0 and mine and messages < 0 for i, mine, messages, _ in held):
            w.new_epoch(ACTIVITY)
            self._hand_over(w, LAPSED)
            activity = activity and (activity[0], False)
        is_late = self.has("look before count")
        seen = tuple((i, mine, w.visible(i), UNKNOWN if is_late else w.rows[i][0]) for i, mine, *_ in held)
        w.workers[n] = (HOLD, seen, activity, ())
        self._add(w)

    def _run(self, n: int, held: tuple[Any, ...], activity: tuple[Any, ...], *, is_free: bool) -> None:
        """User code: nothing else happens in this process, and the supervisor may hand back what it holds up."""
        if not self.variant.is_endless:
            self._add(self._world(n, HOLD, held, (RESULT, activity[1]), ()))
        mine = [i for i, is_mine, *_ in held if is_mine]
        if mine and is_free:
            w = self._world()
            for i in mine:
                w.new_epoch(i)
                w.rows[i][2] = OPEN
            if 0 in mine:
                self._hand_over(w, HELD)
            if not self.has("hand-back without wake"):
                w.wake_for(mine)
            self._add(w)

    def _settle_elsewhere(self, n: int, held: tuple[Any, ...], activity: tuple[Any, ...]) -> None:
        """The result's instance is not ours (any more): settle it and deliver."""
        w = self._world(n, HOLD, held, (), ())
        if self._settle(w, activity):
            w.deliver(0, RESULT_MESSAGE)
            w.wake_for([0])
        self._add(w)

    def _give_back(self, n: int, held: tuple[Any, ...], activity: tuple[Any, ...]) -> None:
        """The slice is over: put back what was not begun."""
        mine = [i for i, is_mine, *_ in held if is_mine]
        w = self._world(n, *REST)
        for i in mine:
            w.rows[i][2] = OPEN
        if 0 in mine:
            self._hand_over(w, OPEN)
        is_put_back = bool(activity and activity[0] == UNBEGUN and activity[1]) and w.activity in (HELD, LAPSED, OPEN)
        w.activity = OPEN if is_put_back else w.activity
        if not self.has("put-back without wake"):
            w.wake_for(mine)
            w.sets += is_put_back
        self._add(w)

    # --- the commit of a batch of turns

    def _begin(self, n: int, held: tuple[Any, ...], activity: tuple[Any, ...]) -> None:
        rows = {i for i, *_ in held}
        has_result = bool(activity and activity[0] == RESULT)
        sends = self.sends_to is not None and any(i == 0 and (m & RESULT_MESSAGE or has_result) for i, _, m, _ in held)
        if (not sends or self.has("fast path sends")) and not any(self.state[4][i][3] for i in rows):
            self._commit_fast(n, held, activity)
        if sends:
            rows.add(self.sends_to)
        if self.has_locks:
            if not any(self.state[4][i][3] for i in rows):  # lock own rows and targets, in id order
                w = self._world(n, COMMIT, held, activity, tuple(sorted(rows)))
                for i in rows:
                    w.rows[i][3] = -1
                self._add(w)
        elif self.has("look before lock"):
            self._add(self._world(n, COMMIT, held, activity, tuple(row[0] for row in self.state[4])))
        else:
            self._commit(n, held, activity, rows)

    def _commit_fast(self, n: int, held: tuple[Any, ...], activity: tuple[Any, ...]) -> None:
        """Compare and set, without lock and look: what is left waiting is what was known, less what was taken. A miss
        changes nothing, so the whole way, which is always open too, is what comes of it."""
        if activity and activity[0] == RESULT and not activity[1]:
            return
        left = {}
        for i, mine, messages, known in held:
            makes = TIMER_MESSAGE if messages & A_MESSAGE and self.program.makes == "timer" else 0
            left[i] = (known & ~messages) | makes
            if not mine or known == UNKNOWN or (left[i] and self.state[0]):  # a timer is due by now
                return
        self._commit(n, held, activity, list(left), left)

    def _unlock(self, w: World, worker: tuple[Any, ...]) -> None:
        if worker[0] == COMMIT and self.has_locks:
            for i in worker[3]:
                w.rows[i][3] = 0

    def _hand_over(self, w: World, lease: int) -> None:
        """What the lease of the first instance owes becomes a row."""
        if w.activity == OWED:
            w.activity = NONE if self.has("debts forgotten") else lease

    def _settle(self, w: World, activity: tuple[Any, ...], *, has_lease: bool = False) -> bool:
        """Compare and set on the activity's lease, or on its instance's where that owes it: did this result count?"""
        is_ours = has_lease if w.activity == OWED else activity[1] and w.activity != NONE
        if not is_ours and not self.has("settle without compare"):
            return False
        if w.activity == DONE:
            raise Twice
        w.activity = DONE
        return True

    def _commit(
        self,
        n: int,
        held: tuple[Any, ...],
        activity: tuple[Any, ...],
        rows: Collection[int],
        left: dict[int, int] | None = None,
    ) -> None:
        """All plans in one transaction, whichever way the burst goes on; those whose lease was lost are dropped.

        `left`: what waits afterwards, where that is known without a look.
        """
        for end in ("go on", "hand over", "slice over"):
            w = self._world()
            self._unlock(w, (COMMIT, held, activity, rows))
            commit = _Commit(self, w, activity, is_last=end == "slice over", keeps=end == "go on")
            commit.apply(held)
            if end == "hand over" and not commit.made:
                continue  # nothing to hand over
            if end == "slice over" and commit.activity and commit.activity[0] == UNBEGUN:
                continue  # what was not begun is put back in _hold()
            commit.look(rows, left)
            w.workers[n] = (HOLD, tuple(sorted(commit.again)), commit.activity, ())
            self._add(w)


class _Commit:
    """One way in which one batch may be committed."""

    def __init__(self, model: Model, w: World, activity: tuple[Any, ...], *, is_last: bool, keeps: bool) -> None:
        self.model, self.w, self.activity, self.is_last, self.keeps = model, w, activity, is_last, keeps
        self.own: list[int] = []
        self.sent: list[int] = []
        self.again: list[tuple[int, bool, int, int]] = []
        self.made = False

    def apply(self, held: Sequence[tuple[int, bool, int, int]]) -> None:
        """Write all plans that are still ours."""
        has = self.model.has
        is_blind = has("no fencing") or (has("batch applies lost plans") and any(mine for _, mine, *_ in held))
        in_hand = self.activity
        for i, mine, messages, _ in held:
            if mine or is_blind:  # else a result in hand stays there, see _hold()
                self._apply_one(i, messages, i == 0 and bool(in_hand) and in_hand[0] == RESULT, in_hand)

    def _apply_one(self, i: int, messages: int, has_result: bool, in_hand: tuple[Any, ...]) -> None:
        model, w = self.model, self.w
        if has_result:
            self.activity = ()
            if not model._settle(w, in_hand, has_lease=True):
                self.again.append((i, True, -1, UNKNOWN))  # settled elsewhere: load and turn again
                return
            w.rows[i][0] |= RESULT_MESSAGE
        w.consume(i, messages | (RESULT_MESSAGE if has_result else 0))
        self.own.append(i)
        if messages & A_MESSAGE and model.program.makes == "timer":
            w.rows[i][0] |= TIMER_MESSAGE
        elif messages & A_MESSAGE:
            self.made = True
            w.activity = OWED if self.keeps else OPEN
            self.activity = (UNBEGUN, True) if self.keeps else self.activity
        if model.sends_to is not None and (has_result or messages & RESULT_MESSAGE):
            w.deliver(model.sends_to, SENT_MESSAGE)  # perhaps to one of this batch that was lost: then like any other
            self.sent.append(model.sends_to)

    def look(self, rows: Collection[int], left: dict[int, int] | None) -> None:
        """Look at the inboxes last, or go by what is known; set `due_at` and the leases; wake for what is left."""
        model, w = self.model, self.w
        is_stale = model.has("look before lock")
        for i in self.own:
            seen = tuple(rows)[i] | TIMER_MESSAGE if is_stale else -1
            waiting = w.rows[i][0] & seen if left is None else left[i]
            w.rows[i][1] = w.due(waiting)
            has_more = w.rows[i][1] == NOW or (i == 0 and bool(self.activity))
            w.rows[i][2] = HELD if has_more and not self.is_last else OPEN
            if w.rows[i][2] == HELD:
                self.again.append((i, True, waiting & w.shown(), waiting))
        touched: Iterable[int] = {*self.own, *self.sent}
        if not model.has("locked without wake") and not is_stale:
            touched = {*touched, *rows}
        w.wake_for(touched)
        w.sets += self.made and w.activity == OPEN


def _may_be_claimed(row: Sequence[int]) -> bool:
    """Tell whether an instance is due and nobody's, or its lease has run out."""
    return row[2] == LAPSED or (row[1] == NOW and row[2] != HELD)


def _choices(items: list[int], most: int) -> list[list[int]]:
    if len(items) <= most:
        return [items]
    return [[x] for x in items] if most == 1 else [[x for x in items if x != left] for left in items]
