"""How much to claim and keep: moving averages of how long functions take, against a budget in seconds. Pure.

Slow or unknown functions: one at a time, so that others are not kept waiting and a crash repeats little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

WEIGHT = 0.3


@dataclass(slots=True)
class Pace:
    """`budget` is the expected time that one claim or share may take, `most` the number of rows."""

    budget: float
    most: int
    _averages: dict[str, float] = field(default_factory=dict)
    _overall: float | None = None

    def note(self, name: str, seconds: float) -> None:
        """Learn how long a call of the function took."""
        known = self._averages.get(name)
        self._averages[name] = seconds if known is None else known + WEIGHT * (seconds - known)
        overall = self._overall
        self._overall = seconds if overall is None else overall + WEIGHT * (seconds - overall)

    def activities_to_claim(self) -> int:
        """Return how many activities of any name to claim at once."""
        return 1 if self._overall is None else max(1, min(self.most, int(self.budget / max(self._overall, 1e-6))))

    def keep(self, names: Sequence[str]) -> list[bool]:
        """Say for each activity of a turn whether the burst keeps it: the first always, then while the budget lasts."""
        kept, spent, count = [], 0.0, 0
        for name in names:
            spent += self._averages.get(name, self.budget)
            is_kept = count == 0 or (spent <= self.budget and count < self.most)
            count += is_kept
            kept.append(is_kept)
        return kept
