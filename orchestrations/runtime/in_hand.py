"""The activities that a burst has in hand: to be run, finished and not settled, and what a lane has no room for."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from orchestrations import telemetry
from orchestrations.authoring.registry import ACTIVITY, Function
from orchestrations.conf import conf
from orchestrations.runtime.activities import ActivityRunner
from orchestrations.runtime.fleet import Fleet
from orchestrations.runtime.lanes import Lanes
from orchestrations.runtime.pace import Pace
from orchestrations.runtime.retries import through_locks
from orchestrations.runtime.watch import FINISHED
from orchestrations.store import activities, clock
from orchestrations.store.activities import Result
from orchestrations.store.batch import Share, TurnCommit
from orchestrations.store.claimed import ClaimedActivity

MOST_OWED = 1000
"""How many activities a lease may owe: they are written with every turn. What is above it is rows."""

LANE_START_SECONDS = 0.0005
"""What starting an activity in a lane takes of the burst's time, whatever it takes itself."""


class ActivitiesInHand:
    """`take` is offered each result first; those that it refuses are settled through the instance's inbox."""

    def __init__(
        self,
        owner: str,
        runner: ActivityRunner,
        lanes: Lanes,
        pace: Pace,
        fleet: Fleet,
        take: Callable[[Result], bool],
    ) -> None:
        self._owner, self._runner, self._lanes, self._pace = owner, runner, lanes, pace
        self._fleet, self._take = fleet, take
        self.todo: deque[ClaimedActivity] = deque()
        self.elsewhere: list[Result] = []
        self._crowded: list[ClaimedActivity] = []

    def keys(self, results: Sequence[Result] = ()) -> set[int]:
        """Return the keys of all that is in hand, these results included."""
        ended = (result.activity for result in (*self.elsewhere, *results))
        return {activity.id for activity in (*self.todo, *self._crowded, *ended)}

    def share(self, commits: Sequence[TurnCommit], queues: Sequence[str]) -> None:
        """Say who is to have each of the new activities; the burst keeps some of those of these queues."""
        for c in commits:
            c.share = [Share.OPEN] * len(c.queues)
        own = [(c, i) for c in commits for i, queue in enumerate(c.queues) if queue in queues]
        names = [c.plan.activities[i].name for c, i in own if c.plan]
        room = {c.key: MOST_OWED - len(c.still_owed) for c in commits}
        for (c, i), name, is_kept in zip(own, names, self._pace.keep(names), strict=True):
            if is_kept:
                c.share[i] = self._as_kept(name) if i < room[c.key] else Share.LEASED

    def _as_kept(self, name: str) -> Share:
        """Only what runs in the burst itself, and may run again if the worker is lost, needs no row."""
        function = self._runner.find(name)
        needs_row = function is None or function.at_most_once or self._lanes.serves(function)
        return Share.LEASED if needs_row else Share.OWED

    def run(self, is_over: Callable[[], bool]) -> None:
        """Run activities for as long as a group of results may wait for its commit."""
        began, count = clock.monotonic(), 0
        most, seconds = min(conf.RESULT_GROUP_SIZE, FINISHED // 2), conf.RESULT_GROUP_SECONDS
        while self.todo and not is_over():
            self._run(self.todo.popleft())
            count += 1
            if count >= most or clock.monotonic() - began >= seconds:
                break

    def settle(self) -> None:
        """Settle the results that no instance in our hands takes. After an error they are in hand still."""
        if not self.elsewhere:
            return
        results = list(self.elsewhere)
        counted = through_locks(lambda: activities.settle(results, self._owner))
        self.elsewhere.clear()
        if counted < len(results):
            refused = len(results) - counted
            telemetry.report(telemetry.RESULT_REFUSED, level=logging.WARNING, results=refused)

    def put_back(self) -> None:
        """Give back what was not begun, and what a lane had no room for."""
        todo = [*self.todo, *self._crowded]
        through_locks(lambda: activities.put_back(todo, self._owner))
        self.forget()

    def forget(self) -> None:
        """Let go of what was not begun: it is somebody else's."""
        self.todo.clear()
        self._crowded = []

    def _run(self, activity: ClaimedActivity) -> None:
        function = self._runner.find(activity.name)
        if function is None:
            self._defer(activity)
        elif self._lanes.serves(function):
            self._start_in_lane(activity, function)
        elif (result := self._runner.run(activity, function)) is not None:
            self._keep(result)

    def _start_in_lane(self, activity: ClaimedActivity, function: Function) -> None:
        """Let it run beside the burst, which has no more to do with it: its outcome comes through the inbox."""
        if not self._lanes.has_room(function):
            self._crowded.append(activity)
            self._lanes.turn_away()
            return
        ready = self._runner.prepare(activity, function)
        if isinstance(ready, Result):
            self._keep(ready)
        elif ready:
            self._pace.note(activity.name, LANE_START_SECONDS)
            self._lanes.start(activity, function, self._runner.seconds_of(function))

    def _keep(self, result: Result) -> None:
        if not self._take(result):
            self.elsewhere.append(result)

    def _defer(self, activity: ClaimedActivity) -> None:
        """Leave it to another worker that has the function; where none has, put it aside and say so."""
        telemetry.report(telemetry.ACTIVITY_DEFERRED, level=logging.WARNING, activity=activity.name)
        self._fleet.leave(ACTIVITY, activity.name)
        if self._fleet.serves(ACTIVITY, activity.queue, activity.name):
            through_locks(lambda: activities.put_back([activity], self._owner))
        else:
            through_locks(lambda: activities.block(activity, self._owner))
