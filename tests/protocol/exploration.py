"""Explores every state of a model. `python -m tests.protocol.exploration` prints a line for each variant, `deep` more.

A variant is right if nothing is consumed or settled twice, and if from every state that can be reached all work can
still be done without a further fault.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.protocol.model import Model, Variant
from tests.protocol.model_state import LATER, NEVER, NOW, TIMER_MESSAGE, State, Twice

LIMIT = 3_000_000
ONE_FAULT, NO_FAULT = 1, 0


@dataclass
class Exploration:
    """What was found: how many states, and what is wrong with the variant (`twice`, `forgotten`, `due_at late`)."""

    states: int = 0
    found: set[str] = field(default_factory=set)


def explore(variant: Variant) -> Exploration:
    """Visit every state; for a planted bug stop at the first thing found."""
    model = Model(variant)
    start = model.start()
    numbers, queue = {start: 0}, deque([start])
    before: list[list[int]] = [[]]
    ends: list[int] = []
    result = Exploration()
    stops_early = bool(variant.bugs or (variant.faults and not variant.has_sweeper))
    while queue and len(numbers) < LIMIT and not (result.found and stops_early):
        state = queue.popleft()
        if model.is_done(state):
            ends.append(numbers[state])
        if not variant.bugs and _is_due_late(state):
            result.found.add("due_at late")
        _visit(model, state, numbers, queue, before, result)
    result.states = len(numbers)
    if queue and not result.found:
        result.found.add("too many states")
    if not result.found and not _can_all_end(before, ends):
        result.found.add("forgotten")
    return result


def _visit(
    model: Model,
    state: State,
    numbers: dict[State, int],
    queue: deque[State],
    before: list[list[int]],
    out: Exploration,
) -> None:
    try:
        steps = model.steps(state)
    except Twice:
        out.found.add("twice")
        return
    if not model.is_done(state) and all(is_fault for _, is_fault in steps):
        out.found.add("forgotten")
    here = numbers[state]
    for following, is_fault in steps:
        number = numbers.get(following)
        if number is None:
            number = numbers[following] = len(numbers)
            before.append([])
            queue.append(following)
        if not is_fault:
            before[number].append(here)


def _is_due_late(state: State) -> bool:
    """I15, which the sweeper lives on: `due_at` is never later than the earliest message that counts."""
    return any(
        inbox and not NEVER < due <= (LATER if inbox == TIMER_MESSAGE and not state[0] else NOW)
        for inbox, due, _, _ in state[4]
    )


def _can_all_end(before: list[list[int]], ends: list[int]) -> bool:
    seen = set(ends)
    todo = list(ends)
    while todo:
        for number in before[todo.pop()]:
            if number not in seen:
                seen.add(number)
                todo.append(number)
    return len(seen) == len(before)


def designed() -> Iterator[tuple[str, Variant]]:
    """Yield what must be right, without faults and sweeper, beside an endless activity, and under one fault."""
    for program in ("one", "two", "send", "timer"):
        for size in (1, 2):
            yield "as designed", Variant(program, size)
    for program, size in (("one", 1), ("two", 2), ("send", 2)):
        yield "beside an endless activity", Variant(program, size, is_endless=True)
    for program in ("one", "two", "timer"):
        yield "as designed, one fault", Variant(program, 2, ONE_FAULT, has_sweeper=True)
    yield "a delivery rolls back", Variant("send", 2, ONE_FAULT, has_sweeper=True, kinds=frozenset({"rollback"}))


def planted() -> Iterator[tuple[str, str, Variant]]:
    """Yield (bug, what it must lead to, the variant in which it shows soonest)."""
    yield "no fencing", "twice", _bug("no fencing", "two", 2, faults=1, sweeper=True)
    yield "a lost plan applied", "twice", _bug("batch applies lost plans", "two", 2, faults=1, sweeper=True)
    yield "results not compared", "twice", _bug("settle without compare", "one", 1, faults=1, sweeper=True)
    yield "claim clears due_at", "forgotten", _bug("claim clears due_at", "one", 1, faults=1, sweeper=True)
    yield "no sweeper", "forgotten", Variant("one", 1, ONE_FAULT)
    yield "no sweeper, a rollback", "forgotten", Variant("send", 2, ONE_FAULT, kinds=frozenset({"rollback"}))
    yield "claim before delete", "forgotten", _bug("claim before delete", "two", 2)
    yield "bell silenced late", "forgotten", _bug("bell silenced after the claim", "one", 1)
    yield "wake before commit", "forgotten", _bug("wake before commit", "one", 1)
    yield "look before lock", "forgotten", _bug("look before lock", "one", 1)
    yield "look before lock, sweeper", "forgotten", _bug("look before lock", "one", 1, sweeper=True)
    yield "not counted", "forgotten", _bug("delivery without count", "one", 1)
    yield "not counted, sweeper", "forgotten", _bug("delivery without count", "one", 1, sweeper=True)
    yield "looked before counted", "forgotten", _bug("look before count", "one", 1, sweeper=True)
    yield "fast path sends", "forgotten", _bug("fast path sends", "send", 2)
    yield "debts not handed over", "forgotten", _bug("debts forgotten", "one", 1, faults=1, sweeper=True)
    yield "handed back with debts", "forgotten", _bug("debts forgotten", "two", 2)
    yield "put back, no wake", "forgotten", _bug("put-back without wake", "two", 2)
    yield "handed back, no wake", "forgotten", _bug("hand-back without wake", "two", 2, endless=True)
    yield "full claim, no wake", "forgotten", _bug("full claim without wake", "two", 1)
    yield "locked, no wake", "forgotten", _bug("locked without wake", "send", 2)


def deep() -> Iterator[tuple[str, Variant]]:
    """Yield the variants with two faults, and with row locks as steps under one: minutes, and hundreds of MB."""
    for program in ("one", "two", "timer"):
        for size in (1, 2):
            yield "as designed, two faults", Variant(program, size, 2, has_sweeper=True)
    for size in (1, 2):
        yield "as designed, one fault", Variant("send", size, ONE_FAULT, has_sweeper=True)


def _bug(
    bug: str, program: str, size: int, *, faults: int = NO_FAULT, sweeper: bool = False, endless: bool = False
) -> Variant:
    return Variant(program, size, faults, sweeper, frozenset({bug}), is_endless=endless)


def main(arguments: list[str]) -> int:
    """Print what each variant comes to; the exit code counts surprises."""
    cases = [(name, "", variant) for name, variant in (deep() if arguments == ["deep"] else designed())]
    cases += [] if arguments == ["deep"] else list(planted())
    surprises = 0
    for name, expected, variant in cases:
        began = time.monotonic()
        result = explore(variant)
        surprises += result.found != {expected} - {""}
        found = ", ".join(sorted(result.found)) or "nothing"
        seconds = time.monotonic() - began
        print(f"{name:<28}{variant.program:<8}{variant.claim_size:<3}{result.states:>9,}{seconds:>7.1f} s  {found}")
    return surprises


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
