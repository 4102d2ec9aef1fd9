"""How well a limiter explains the log: prior times likelihood for each of its capacities; see `inference`."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mcpdoctor.ceiling import demand
from mcpdoctor.ceiling.intervals import log_chance
from mcpdoctor.ceiling.timeline import arrivals, blur_s, clocks_s
from mcpdoctor.samples import Kind, Operation, Sample, Shape

STRAY = (1.0, 19.0)
LEAK = (1.0, 49.0)

_MOST_ERRORS = 12
_LARGEST_CAPACITY = 1024
_HALF = math.log(2)
_PRIOR = [
    # Log-uniform over the capacities: proportional to log((c+1)/c), which sums in closed form.
    math.log(math.log1p(1 / max(1, capacity)) / math.log(_LARGEST_CAPACITY + 1))
    for capacity in range(_LARGEST_CAPACITY + 1)
]


@dataclass(frozen=True, slots=True)
class Trial:
    """One grid point before it is weighed against the others: `log_weight` is prior times likelihood."""

    kind: Kind
    log_weight: float
    capacity: int
    rates_per_s: tuple[float, float] | None = None
    shape: Shape | None = None
    openings_alone: bool = False
    streams: bool = False
    near: bool = False


class Seen:
    """The log, sorted into what each hypothesis needs to know of it."""

    __slots__ = ("accepted", "arriving", "blur_s", "clocks_s", "refused", "shortest_s", "words")

    def __init__(self, log: Sequence[Sample]) -> None:
        self.arriving = arrivals(log)
        self.blur_s, self.clocks_s = blur_s(log), clocks_s(log)
        self.shortest_s = min((one.elapsed_s for one in log), default=0.0)
        telling = [(index, one) for index, one in enumerate(self.arriving) if one.evidence]
        self.accepted = [index for index, one in telling if one.refused is None]
        self.refused: dict[str, list[int]] = {}
        for index, one in telling:
            if one.refused is not None:
                self.refused.setdefault(one.refused, []).append(index)
        self.words = len(self.refused)

    @property
    def refusals(self) -> int:
        """How many refusals tell of a limit."""
        return sum(map(len, self.refused.values()))

    def mostly_refuses(self, operations: Collection[Operation]) -> bool:
        """Whether most of what was refused was a request for one of the operations."""
        which = [self.arriving[index].operation in operations for found in self.refused.values() for index in found]
        return 2 * sum(which) > len(which)

    def weigh(self, demands: Sequence[demand.Demand], *, most: bool = False) -> list[tuple[int, float]]:
        """Logarithm of prior times likelihood for each capacity worth considering.

        Args:
            demands: of the log.
            most: say how much it is at most, if what the demands leave open turned out well.
        """
        weighed: list[tuple[int, float]] = []
        lows = sorted([demands[index][0] for index in self.accepted])
        highs = sorted([demands[index][1] for index in self.accepted])
        smallest = max(1, math.ceil(lows[-_MOST_ERRORS])) if len(lows) >= _MOST_ERRORS else 1
        for found in self.refused.values():
            refused = sorted([(*demands[index], self.arriving[index].luck) for index in found])
            refused_highs = sorted([high for _, high, _ in refused])
            # Smaller capacities have too many leaks, larger ones foretell nothing or have too many strays.
            largest = min(math.ceil(refused_highs[-1]) - 1, _LARGEST_CAPACITY)
            if len(refused_highs) > _MOST_ERRORS:
                largest = min(largest, math.ceil(refused_highs[_MOST_ERRORS]) - 1)
            elsewhere = self.refusals - len(found)
            for capacity in range(smallest, largest + 1):
                hits = [luck for low, _, luck in refused if low > capacity]
                if not hits and (not most or refused_highs[-1] <= capacity):
                    continue
                fitting = bisect_right(highs, capacity)
                leaks = len(lows) - bisect_right(lows, capacity)
                strays = bisect_right(refused_highs, capacity)
                unclear = 0 if most else len(lows) - fitting - leaks + len(found) - strays - len(hits)
                strays += elsewhere
                likelihood = (
                    log_chance(strays, strays + fitting, *STRAY)
                    + log_chance(leaks, leaks + len(hits), *LEAK)
                    + sum(hits)
                    - unclear * _HALF
                    - strays * math.log(self.words)
                )
                weighed.append((capacity, likelihood - math.log(self.words) + _PRIOR[capacity]))
        return weighed

    def without_limit(self) -> float:
        """Log-likelihood of the log if nothing limits: every refusal is a stray."""
        strays = self.refusals
        return log_chance(strays, strays + len(self.accepted), *STRAY) - strays * math.log(max(1, self.words))
