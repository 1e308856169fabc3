"""What a worker process keeps between bursts."""

from __future__ import annotations

from orchestrations.authoring.registry import ACTIVITY, ORCHESTRATOR
from orchestrations.conf import conf
from orchestrations.runtime.activities import ActivityRunner
from orchestrations.runtime.fleet import Fleet
from orchestrations.runtime.lanes import Lanes
from orchestrations.runtime.live_bodies import LiveBodies
from orchestrations.runtime.pace import Pace
from orchestrations.runtime.surroundings import Surroundings
from orchestrations.runtime.watch import Watch


class WorkerState:
    """What a worker process keeps between bursts: id, cache, pace. Nothing of it is needed for correctness."""

    def __init__(
        self, owner: str, fingerprint: str = "", watch: Watch | None = None, threads: int | None = None
    ) -> None:
        self.owner, self.fingerprint, self.watch = owner, fingerprint, watch
        self.fleet = Fleet()
        self.pace = Pace(conf.CLAIM_SECONDS, conf.RESULT_GROUP_SIZE * 2)
        self.surroundings = Surroundings()
        self.bodies = LiveBodies(0 if conf.ALWAYS_REPLAY else conf.LIVE_BODIES, self.surroundings.close_body)
        self.runner = ActivityRunner(owner, self.pace, watch, self.surroundings)
        self.lanes = Lanes(owner, self.surroundings, watch, threads)

    @property
    def is_spoilt(self) -> bool:
        """True once the process is to be replaced."""
        return self.runner.is_spoilt or self.lanes.is_spoilt

    def activities_left(self) -> tuple[str, ...]:
        """Return the names of the activities that are left to other workers now, for want of code or of room."""
        return (*self.fleet.left(ACTIVITY), *self.lanes.full_names())

    def can_take_all(self) -> bool:
        """Tell whether nothing is left to other workers."""
        return not (self.activities_left() or self.fleet.left(ORCHESTRATOR))

    def move(self) -> None:
        """Tell the supervisor that the worker makes progress, or it will not renew its leases."""
        if self.watch is not None:
            self.watch.move()

    def close(self) -> None:
        """Close the bodies and end the lanes."""
        self.bodies.clear()
        self.lanes.close()
