"""The table that a run prints: each figure, the ground figure beside it, their ratio, and the goal."""

from __future__ import annotations

from dataclasses import dataclass

HEADINGS = ("workload", "size", "workers", "figure", "unit", "ground", "ratio", "goal")
RIGHT = {"size", "workers", "figure", "ratio"}


@dataclass(frozen=True)
class Goal:
    """What the ratio, or with `of_figure` the figure, should be. It is printed, never asserted."""

    least: float | None = None
    most: float | None = None
    of_figure: bool = False
    text: str = ""

    def judge(self, figure: float, ratio: float) -> str:
        """Say what the goal is, and whether it is met."""
        value = figure if self.of_figure else ratio
        is_met = (self.least is None or value >= self.least) and (self.most is None or value <= self.most)
        bound = self.text or (f"≥ {self.least:.3g}" if self.least is not None else f"≤ {self.most:.3g}")
        return f"{bound} {'met' if is_met else 'MISSED'}"


@dataclass(frozen=True)
class Line:
    """One figure. `ground` is in the figure's unit."""

    workload: str
    size: int
    workers: int | str
    figure: float
    unit: str
    ground_name: str = ""
    ground: float | None = None
    goal: Goal | None = None

    @property
    def ratio(self) -> float:
        """The figure over its ground figure; over one where there is none."""
        return self.figure / (self.ground or 1.0)

    def cells(self) -> tuple[str, ...]:
        """Return the line's texts, in the order of the headings."""
        ground = f"{self.ground_name}: {_short(self.ground)}" if self.ground is not None else "–"
        ratio = _short(self.ratio) if self.ground is not None else "–"
        goal = self.goal.judge(self.figure, self.ratio) if self.goal else ""
        return (self.workload, f"{self.size:,}", str(self.workers), _short(self.figure), self.unit, ground, ratio, goal)


class Report:
    """Collects the lines of a run."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.lines: list[Line] = []

    def add(self, line: Line) -> None:
        """Add a figure."""
        self.lines.append(line)

    def render(self) -> str:
        """Return the aligned table, in the order of workloads, sizes and workers."""
        lines = sorted(self.lines, key=lambda line: (line.workload, line.size, str(line.workers)))
        rows = [HEADINGS, *(line.cells() for line in lines)]
        widths = [max(len(row[place]) for row in rows) for place in range(len(HEADINGS))]
        return "\n".join([self.title, *(_aligned(row, widths) for row in rows)])


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        text.rjust(width) if heading in RIGHT else text.ljust(width)
        for text, width, heading in zip(row, widths, HEADINGS, strict=True)
    ]
    return "  ".join(cells).rstrip()


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
