"""Weigh a parameter that is not a whole number: on a grid that is fine where the weight is."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence

from mcpdoctor.ceiling.intervals import log_sum

Weighed = list[tuple[int, float]]
"""Pairs of capacity and log-weight."""

Cell = tuple[float, float, Weighed]
"""Ends of a cell, and what was found at its middle, times the prior of the cell."""

_PARTS = 4
_NARROW, _COARSE, _CELLS, _CLOSE, _MISSED = 0.01, 24, 250, 0.5, math.log(0.03)
_LEVELS, _SPLIT, _ENOUGH, _NEARLY_ALL = 4, 5, 12, 0.99


def bounded(
    weigh: Callable[[float, float, bool], Weighed],
    lowest: float,
    highest: float,
    *,
    narrow: float = _NARROW,
    coarse: int = _COARSE,
    most: int = _CELLS,
    floor: float = -math.inf,
) -> list[Cell]:
    """Weigh a uniform parameter, by branch and bound.

    What a cell can come to at most is known before it is split, so no value that explains the log is missed, however
    narrow the cell that it is in. Cells are split until what they come to in their middle is nearly all there can be,
    or they are as narrow as it matters.

    Args:
        weigh: told the ends of a range, what that is at most where the third argument says so; else what its middle is.
        lowest: lower end of the parameter.
        highest: its upper end.
        narrow: width of a cell that is not split.
        coarse: how many cells there are at first.
        most: how many are looked at.
        floor: log-weight that was found elsewhere: what is little beside it is not looked for.

    Returns:
        The cells that were found to have some weight.
    """
    found: list[Cell] = []
    waiting: list[tuple[float, float, float]] = []  # a heap: the cell that may hold most comes first

    def share(low: float, high: float) -> float:
        return math.log((high - low) / (highest - lowest))

    def add(low: float, high: float, parts: int) -> None:
        edges = [low + (high - low) * index / parts for index in range(parts + 1)]
        for ends in itertools.pairwise(edges):
            bound = log_sum(weight for _, weight in weigh(*ends, True))
            if bound > -math.inf:
                heapq.heappush(waiting, (-bound - share(*ends), *ends))

    add(lowest, highest, coarse)
    for _ in range(most):
        if not waiting or math.log(len(waiting)) - waiting[0][0] < floor + _MISSED:
            break
        least, low, high = heapq.heappop(waiting)
        center = (low + high) / 2
        weighed = [(capacity, weight + share(low, high)) for capacity, weight in weigh(center, center, False)]
        whole = log_sum(weight for _, weight in weighed)
        if high - low < narrow or whole > -least - _CLOSE:
            found.append((low, high, weighed))
            floor = log_sum((floor, whole))
        else:
            add(low, high, _PARTS)
    return found


def refined(weigh: Callable[[float], Weighed], lowest: float, highest: float, step: float) -> list[Cell]:
    """Weigh a uniform parameter of which no bounds are known.

    The likelihood is made of steps, and a cell whose middle fits badly may hold a value that fits well: beside the
    heaviest cells their neighbours are split too. That ends when enough cells share the weight.

    Args:
        weigh: told a value.
        lowest: lower end of the parameter.
        highest: its upper end.
        step: width of the cells at first.

    Returns:
        All cells.
    """

    def cell(low: float, high: float) -> tuple[float, float, Weighed, float]:
        part = math.log((high - low) / (highest - lowest))
        weighed = [(capacity, weight + part) for capacity, weight in weigh((low + high) / 2)]
        return low, high, weighed, log_sum([weight for _, weight in weighed])

    def split(low: float, high: float, parts: int) -> list[tuple[float, float, Weighed, float]]:
        edges = [low + (high - low) * index / parts for index in range(parts + 1)]
        return [cell(*ends) for ends in itertools.pairwise(edges)]

    grid = split(lowest, highest, round((highest - lowest) / step))
    for _ in range(_LEVELS):
        heavy = _heaviest([whole for *_, whole in grid])
        if not heavy or len(heavy) >= _ENOUGH:
            break
        chosen = {near for index in heavy[:_SPLIT] for near in (index - 1, index, index + 1)}
        grid = [
            fine
            for index, one in enumerate(grid)
            for fine in (split(one[0], one[1], _PARTS) if index in chosen else [one])
        ]
    return [(low, high, weighed) for low, high, weighed, _ in grid]


def _heaviest(weights: Sequence[float]) -> list[int]:
    """Which log-weights make up nearly all of their sum, the heaviest first."""
    whole, summed = log_sum(weights), 0.0
    heavy: list[int] = []
    for index in sorted(range(len(weights)), key=lambda index: -weights[index]):
        if summed >= _NEARLY_ALL or weights[index] == -math.inf:
            break
        heavy.append(index)
        summed += math.exp(weights[index] - whole)
    return heavy
