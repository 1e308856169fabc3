"""What was measured, as tables: ratios first, for only they say something; then the figures and their spread."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Line:
    """A workload's figures by side. `is_rate`: more is better; else less is."""

    workload: str
    size: int
    unit: str
    is_rate: bool
    figures: dict[str, list[float]] = field(default_factory=dict)
    others: list[float] = field(default_factory=list)
    """The share of the machine's time that processes of no side took while it ran."""
    slow: set[str] = field(default_factory=set)
    """Sides that took so long that they are not asked again: their figure is of one run."""

    @property
    def name(self) -> str:
        return f"{self.workload} × {self.size:,}"

    def median(self, side: str) -> float | None:
        """Return a side's median, None if it does not have the workload."""
        found = self.figures.get(side)
        return statistics.median(found) if found else None


def ratio(line: Line, ours: str, peer: str) -> float | None:
    """Return how many times as good we are as a peer."""
    mine, other = line.median(ours), line.median(peer)
    if not mine or not other:
        return None
    return mine / other if line.is_rate else other / mine


def tables(lines: Sequence[Line], ours: Sequence[str], peers: Sequence[str], versions: Mapping[str, str]) -> str:
    """Return the report as Markdown."""
    parts = ["## Ratios", "", "How many times as good we are; 2 is twice as fast, or half as late.", ""]
    for mine in ours:
        rows = [[line.name, *(_short(ratio(line, mine, peer)) for peer in peers)] for line in lines]
        parts += [f"**{mine}**", "", *_table(["workload", *peers], rows), ""]
    sides = [*ours, *peers]
    rows = [[line.name, line.unit, *(_spread(line, side) for side in sides), _share(line)] for line in lines]
    parts += ["## Figures", "", "Medians (least–most); the last column: what others took of the machine.", ""]
    parts += [*_table(["workload", "", *sides, "others"], rows), ""]
    return "\n".join([*parts, *(f"- {side}: {text}" for side, text in versions.items())])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _spread(line: Line, side: str) -> str:
    found = line.figures.get(side)
    return f"{statistics.median(found):.4g} ({min(found):.4g}–{max(found):.4g})" if found else "–"


def _share(line: Line) -> str:
    return f"{statistics.median(line.others):.0%}" if line.others else "–"
