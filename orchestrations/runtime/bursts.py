"""The burst: claim → turns → one commit → own activities → turns … until nothing is due or the slice is over.

What a burst keeps it wakes nobody for: its leases are the promise, and the sweeper stands behind them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from orchestrations import telemetry
from orchestrations.authoring.registry import ORCHESTRATOR
from orchestrations.conf import conf
from orchestrations.faults import crashpoint
from orchestrations.runtime.attendance import Attendance
from orchestrations.runtime.commits import commit_safely
from orchestrations.runtime.in_hand import ActivitiesInHand
from orchestrations.runtime.parked import MISSING_FUNCTION, Parked
from orchestrations.runtime.retries import through_locks
from orchestrations.runtime.turns import Held, run_turn
from orchestrations.runtime.worker_state import WorkerState
from orchestrations.store import claims, clock, histories, leases, losses, owed
from orchestrations.store.activities import Result
from orchestrations.store.batch import Committed, TurnCommit
from orchestrations.store.births import capability_of
from orchestrations.store.claims import ClaimLimits

HISTORY_CHARACTERS = 32 * 1024 * 1024
"""How much history a round loads at most; what is above it waits in our hands for the next round."""


class Burst:
    """One job's work on one queue."""

    def __init__(
        self,
        worker: WorkerState,
        queue: str,
        attendance: Attendance | None = None,
        *,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._worker, self._queue, self._should_stop = worker, queue, should_stop
        self._attendance = attendance or Attendance(queue, worker.owner)
        self._held: dict[int, Held] = {}
        self._hand = ActivitiesInHand(
            worker.owner, worker.runner, worker.lanes, worker.pace, worker.fleet, self._take_result
        )
        self._ends_at = clock.monotonic() + conf.BURST_SECONDS
        self._claimed_at = 0.0

    def run(self) -> None:
        """Work until nothing is due or the slice is over; then give back what is left. Nothing stays in our hands.

        After an error of the database, which is raised, call `give_up`. After another error that nobody foresaw the
        process has to end: what it ran counts as lost, and is claimed row by row until the one to blame is parked.
        """
        while not self._is_over():
            if self._may_claim() and not self._claim() and not self._has_work():
                break
            self._round()
        self._give_back()

    # --- claiming

    def _is_over(self) -> bool:
        return clock.monotonic() >= self._ends_at or self._should_stop() or self._worker.is_spoilt

    def _has_work(self) -> bool:
        return bool(self._held or self._hand.todo)

    def _may_claim(self) -> bool:
        """Claim when the hands are empty, and now and then beside long work, so that others are not kept waiting."""
        return not self._has_work() or clock.monotonic() - self._claimed_at > conf.CLAIM_SECONDS

    def _claim(self) -> bool:
        self._claimed_at = clock.monotonic()
        size = 1 if conf.ALWAYS_REPLAY else conf.CLAIM_SIZE
        most = 0 if self._hand.todo else self._worker.pace.activities_to_claim()
        limits = ClaimLimits(
            max(1, size - len(self._held)),
            min(most, size * 10),
            conf.LEASE_SECONDS,
            may_take_lost=not self._has_work(),
            unknown_activities=self._worker.activities_left(),
            unknown_capabilities=self._worker.fleet.left(ORCHESTRATOR),
        )
        self._worker.move()
        self._attendance.renew(limits)
        crashpoint("before-claim")
        found = claims.claim(self._queue, self._worker.owner, limits, clock.now(), patiently=through_locks)
        crashpoint("after-claim")
        self._hand.todo.extend(found.activities)
        for instance in found.instances:
            self._hold(Held(instance, surroundings=self._worker.surroundings))
        return bool(found.instances or found.activities)

    def _hold(self, held: Held) -> None:
        """Take the instance into our hands, with its live body if there is one."""
        held.turn = self._worker.bodies.take(held.claimed)
        if (before := self._held.get(held.key)) is not None:  # it was taken from us meanwhile, and is ours again
            self._hand.elsewhere += before.results
            before.drop_body()
        self._held[held.key] = held

    def _load_histories(self, ready: list[Held]) -> list[Held]:
        """Load the histories of those that have no live body; return those that may be turned in this round."""
        chosen: list[Held] = []
        bare: list[Held] = []
        size = 0
        for held in ready:
            if held.turn is None and held.claimed.row.position:
                size += held.claimed.row.history_size
                if chosen and size > HISTORY_CHARACTERS:
                    continue
                bare.append(held)
            chosen.append(held)
        if bare:
            telemetry.report(telemetry.BODY_REPLAYED, level=logging.DEBUG, instances=len(bare))
            for key, history in histories.load([held.claimed for held in bare]).items():
                self._held[key].history = history
        return chosen

    # --- a round

    def _round(self) -> None:
        self._worker.move()
        ready = [held for held in self._held.values() if held.has_news]
        awaited = {activity.instance for activity in self._hand.todo}
        idle = [held for key, held in self._held.items() if not held.has_news and key not in awaited]
        if idle:
            self._release(idle)
        if ready:
            self._turn(ready)
        self._publish_results()
        self._hand.run(self._is_over)
        self._settle()

    def _publish_results(self) -> None:
        """Tell the supervisor which activities have ended and are not settled: what runs long now must not take the
        leases of those away (they would run twice)."""
        if self._worker.watch is not None:
            self._worker.watch.keep_finished([result.activity.id for result in self._results()])

    def _results(self) -> list[Result]:
        return [*(result for one in self._held.values() for result in one.results), *self._hand.elsewhere]

    def _settle(self) -> None:
        """Settle what goes through inboxes. What a lease of ours owes still becomes a row before."""
        found = ((self._held.get(r.activity.instance), r.activity.id) for r in self._hand.elsewhere)
        owing = {held.key for held, key in found if held and key in owed.read(held.claimed.row.owed)}
        if owing:
            self._release([self._held[key] for key in owing])
        self._hand.settle()

    def _turn(self, ready: list[Held]) -> None:
        """Run the turns and commit their plans together."""
        now, commits, by_key = clock.now(), [], {}
        is_last = self._is_over()
        for held in self._load_histories(ready):
            commit = self._run_turn(held, now)
            if commit is not None:
                commit.keep = not is_last
                commits.append(commit)
                by_key[held.key] = held
        if not commits:
            return
        self._hand.share(commits, () if is_last else (self._queue,))
        crashpoint("before-commit")
        answers = commit_safely(commits, clock.now(), self._worker.fingerprint, self._hand.keys(self._results()))
        crashpoint("after-commit")
        if answers is None:
            return self.give_up()
        for commit, answer in zip(commits, answers, strict=True):
            self._follow(by_key[commit.key], commit, answer)
        return None

    def _run_turn(self, held: Held, now: datetime) -> TurnCommit | None:
        watch = self._worker.watch
        if watch is not None:
            watch.begin(-held.key, conf.TURN_SECONDS)
        refusal = None
        if held.claimed.row.losses >= conf.LOST_TURNS:
            text = f"A worker was lost in each of the last {held.claimed.row.losses} turns."
            refusal = Parked("lost-turns", f"{text}{losses.last_of(losses.key_of_turn(held.key))}")
        try:
            commit, left = run_turn(held, now, refusal)
        except Parked as parked:
            self._end_turn()
            self._park(held, parked)
            return None
        self._end_turn()  # but not after any other error: the supervisor is to know what ran
        self._hand.elsewhere += left
        return commit

    def _end_turn(self) -> None:
        if self._worker.watch is not None:
            self._worker.watch.end()

    def _follow(self, held: Held, commit: TurnCommit, answer: Committed) -> None:
        """Take over what became of a plan."""
        held.results = []
        instance = held.claimed.facts.instance_id
        if answer.is_dropped or answer.held is None:
            telemetry.report(telemetry.TURN_DROPPED, level=logging.WARNING, instance=instance)
            self._hand.elsewhere += answer.results_in_hand
            held.drop_body()
            del self._held[held.key]
            self._free([held])  # what was lost may be a result; the lease may be ours still
            return
        for receiver in answer.undelivered:
            telemetry.report(telemetry.EVENT_UNDELIVERED, level=logging.WARNING, instance=instance, receiver=receiver)
        if answer.held.row.execution != held.claimed.row.execution:
            held.drop_body()
        held.claimed = answer.held
        self._hand.todo.extend(answer.share)
        if not answer.is_kept:
            del self._held[held.key]
            self._keep_body(held)
        elif conf.ALWAYS_REPLAY:
            held.drop_body()

    def _keep_body(self, held: Held) -> None:
        if held.turn is None:
            return
        if held.claimed.facts.status.is_terminal:
            held.drop_body()
        else:
            self._worker.bodies.put(held.claimed, held.turn)

    def _park(self, held: Held, parked: Parked) -> None:
        facts, row = held.claimed.facts, held.claimed.row
        if parked.reason == MISSING_FUNCTION and self._worker.fleet.serves(ORCHESTRATOR, row.queue, facts.name):
            self._worker.fleet.leave(ORCHESTRATOR, capability_of(facts.name, facts.version))
            held.drop_body()
            return self._release([held])  # another worker has the code
        instance = facts.instance_id
        telemetry.report(telemetry.INSTANCE_PARKED, level=logging.WARNING, instance=instance, reason=parked.reason)
        held.drop_body()
        self._hand.elsewhere += held.results
        mark = leases.Mark(parked.reason, parked.message, self._worker.fingerprint, parked.obeys_management)
        leases.park(held.claimed, mark, clock.now(), self._hand.keys(self._results()))
        del self._held[held.key]
        return None

    def _take_result(self, result: Result) -> bool:
        """Give a result to its instance where that is in our hands and waits for it."""
        held = self._held.get(result.activity.instance)
        if held is None or not held.awaits(result.activity.execution):
            return False
        held.results.append(result)
        return True

    # --- giving back

    def _release(self, helds: list[Held]) -> None:
        self._collect_results(helds)
        self._free(helds)
        for held in helds:
            del self._held[held.key]
            self._keep_body(held)

    def _free(self, helds: list[Held]) -> None:
        leases.release([held.claimed for held in helds], clock.now(), self._hand.keys(self._results()))

    def _give_back(self) -> None:
        """Give back leases, settle the results in hand, give back what was not begun; what is left due is woken for."""
        self._worker.move()
        if self._held:
            self._release(list(self._held.values()))
        self._hand.settle()
        self._hand.put_back()

    def give_up(self) -> None:
        """Let go of everything, and settle the results in hand: after an error of the database, or where plans were
        stored although the answer to their COMMIT was lost.

        Nothing counts as lost. Raises what the database raises; it may be called again.
        """
        self._collect_results(self._held.values())
        for held in self._held.values():
            held.drop_body()
        self._held.clear()
        self._hand.forget()
        leases.hand_back(self._worker.owner, lambda: self._worker.lanes.keys() | self._hand.keys())
        self._hand.settle()

    def _collect_results(self, helds: Iterable[Held]) -> None:
        for held in helds:
            self._hand.elsewhere += held.results
            held.results = []
