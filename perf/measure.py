"""Figures of one comparison: medians, spread, and ratios with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log
from statistics import median

from perf.workload import OURS


@dataclass(frozen=True)
class Measured:
    """Seconds of one variant over the rounds: median and median absolute deviation.

    Of a single round the deviation is not known: None.
    """

    median: float
    deviation: float | None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Measured:
        """Summarise the rounds' figures."""
        middle = median(seconds)
        if len(seconds) == 1:
            return cls(middle, None)
        return cls(middle, median(abs(s - middle) for s in seconds))


@dataclass(frozen=True)
class Ratio:
    """How many times faster we are than a peer: median over rounds, and the range."""

    peer: str
    median: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether all of several rounds agree on who is faster."""
        return self.low < self.high and (self.low > 1.0 or self.high < 1.0)


@dataclass
class Comparison:
    """Seconds per round of every variant of one piece of work.

    Attributes:
        name: the workload, or what of it.
        title: the row's text.
        load: load average before it started.
        work: whether it counts in the geometric mean.
        rounds: seconds by variant, one figure a round; figures at one position were
            taken right after each other.
    """

    name: str
    title: str
    load: float
    work: bool = True
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, label: str, seconds: float) -> None:
        """Append one round's figure."""
        self.rounds.setdefault(label, []).append(seconds)

    def measured(self) -> dict[str, Measured]:
        """Summary of every variant, fastest first."""
        found = {label: Measured.of(times) for label, times in self.rounds.items()}
        return dict(sorted(found.items(), key=lambda item: item[1].median))

    def ours(self) -> str | None:
        """Our fastest variant, or None if there is none."""
        return next((label for label in self.measured() if is_ours(label)), None)

    def ratio(self) -> Ratio | None:
        """Our fastest variant against the fastest peer; None if either is missing.

        Rounds are compared one by one: figures that were taken right after each other
        saw the same machine.
        """
        ours = self.ours()
        peer = next((label for label in self.measured() if not is_ours(label)), None)
        if ours is None or peer is None:
            return None
        pairs = zip(self.rounds[peer], self.rounds[ours], strict=True)
        ratios = [theirs / mine for theirs, mine in pairs]
        return Ratio(peer, median(ratios), min(ratios), max(ratios))


def is_ours(label: str) -> bool:
    """Whether a column is one of ours."""
    return label == OURS or label.startswith(f"{OURS} ")


def geometric_mean(comparisons: Sequence[Comparison]) -> float | None:
    """Geometric mean of the ratios of the work; None without any."""
    found = [c.ratio() for c in comparisons if c.work]
    logs = [log(ratio.median) for ratio in found if ratio is not None]
    return exp(sum(logs) / len(logs)) if logs else None
