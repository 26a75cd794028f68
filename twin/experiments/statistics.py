"""Statistics of repeated trials: intervals, tests, effect sizes, groups of equals.

The unit that is exchangeable is the *process* (a trial), not the message: messages of one process
share its memory layout and its place in time (Kalibera and Jones 2013, "Rigorous benchmarking in
reasonable time").  So intervals resample whole processes, and tests permute processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = [
    "Interval",
    "Pair",
    "bootstrap_interval",
    "cliffs_delta",
    "compare",
    "equal_groups",
    "hierarchical_interval",
    "holm",
    "least_p",
    "permutation_p",
    "warm_up",
]

Sample = NDArray[np.float64]
Statistic = Callable[[Sample], float]

RESAMPLES: Final = 2_000
_MSER_BATCH: Final = 5


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval; NaN bounds where there is none."""

    low: float
    value: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval, relative to the estimate; NaN if the estimate is 0."""
        return (self.high - self.low) / 2 / abs(self.value) if self.value else float("nan")


def bootstrap_interval(
    values: Sequence[float] | Sample,
    statistic: Callable[..., Any] = np.mean,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval of independent values (Efron 1987).

    `statistic` is vectorised, with an `axis`.  Of fewer than two values there are no bounds; of
    equal values both bounds are that value.
    """
    x = np.asarray(values, dtype=float)
    value = float(statistic(x))
    if len(x) < 2:
        return Interval(float("nan"), value, float("nan"))
    if np.ptp(x) == 0:
        return Interval(value, value, value)
    found = stats.bootstrap(
        (x,),
        statistic,
        confidence_level=confidence,
        n_resamples=resamples,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(found.low), value, float(found.high))


def hierarchical_interval(
    groups: Sequence[Sample],
    statistic: Statistic,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 400,
) -> Interval:
    """Interval of a statistic of all values, where these come in groups, such as processes.

    Groups are drawn with replacement, each with its values as they are (Davison and Hinkley 1997,
    section 3.8: this has the right variance, drawing again within groups has too much).  The bounds
    are Student's t for the number of groups times the standard error so found, which is multiplied
    by sqrt(n / (n - 1)) since a bootstrap of n has too little.  One group: no bounds.
    """
    value = statistic(np.concatenate(groups))
    count = len(groups)
    if count < 2:
        return Interval(float("nan"), value, float("nan"))
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([groups[i] for i in rng.integers(0, count, count)]))
        for _ in range(resamples)
    ]
    error = float(np.std(drawn)) * sqrt(count / (count - 1))
    reach = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    return Interval(value - reach, value, value + reach)


def permutation_p(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided p of equal distributions, by permutation of the difference of means.

    Exact where there are at most 10,000 ways to divide the values, else by as many random ones.
    """
    if len(a) < 2 or len(b) < 2:
        return 1.0

    def difference(x: Sample, y: Sample, axis: int) -> Any:
        return np.mean(x, axis=axis) - np.mean(y, axis=axis)

    found = stats.permutation_test(
        (np.asarray(a, float), np.asarray(b, float)),
        difference,
        vectorized=True,
        n_resamples=10_000,
        rng=np.random.default_rng(seed),
    )
    return float(min(found.pvalue, 1.0))


def least_p(a: int, b: int) -> float:
    """The least p that two samples of these sizes can give, whatever is in them."""
    ways = comb(a + b, a)
    return min(1.0, 2 / ways) if ways <= 10_000 else 2 / 10_001


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number (Holm 1979), in the order given."""
    count, running = len(p_values), 0.0
    adjusted = [1.0] * count
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def cliffs_delta(a: Sequence[float] | Sample, b: Sequence[float] | Sample) -> float:
    """P(a > b) - P(a < b), from -1 to 1 (Cliff 1993)."""
    return float(_deltas(np.asarray(a, float)[None], np.asarray(b, float)[None])[0])


def _deltas(a: Sample, b: Sample) -> Sample:
    """Cliff's delta of each row of `a` and the same row of `b`."""
    found: Sample = np.sign(a[:, :, None] - b[:, None, :]).mean(axis=(1, 2))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two cells compared; p is adjusted for all pairs of the metric."""

    first: str
    second: str
    ratio: Interval
    """Mean of the first over that of the second."""
    delta: Interval
    """Cliff's delta."""
    p: float
    p_adjusted: float
    separated: bool


def _of_two(a: Sample, b: Sample, rows: Callable[[Sample, Sample], Sample]) -> Interval:
    """Percentile bootstrap of a statistic of two samples, which takes a sample a row."""
    rng = np.random.default_rng(0)
    drawn = rows(rng.choice(a, (RESAMPLES, len(a))), rng.choice(b, (RESAMPLES, len(b))))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(float(low), float(rows(a[None], b[None])[0]), float(high))


def _ratios(a: Sample, b: Sample) -> Sample:
    below: Sample = b.mean(axis=1)
    found: Sample = a.mean(axis=1) / np.where(below == 0, np.nan, below)
    return found


def compare(cells: Mapping[str, Sequence[float]], *, alpha: float = 0.05) -> list[Pair]:
    """All pairs of cells, each a value a process: test, Holm's correction, effect sizes."""
    names = list(combinations(cells, 2))
    p_values = [permutation_p(cells[a], cells[b]) for a, b in names]
    pairs = []
    for (first, second), p, adjusted in zip(names, p_values, holm(p_values), strict=True):
        a, b = np.asarray(cells[first], float), np.asarray(cells[second], float)
        pairs.append(
            Pair(
                first=first,
                second=second,
                ratio=_of_two(a, b, _ratios),
                delta=_of_two(a, b, _deltas),
                p=p,
                p_adjusted=adjusted,
                separated=adjusted <= alpha,
            )
        )
    return pairs


def equal_groups(names: Sequence[str], pairs: Sequence[Pair]) -> dict[str, str]:
    """Name -> letters; two names with a letter in common are not separated by the test.

    Each letter is a largest set of names of which no two are separated (Piepho 2004).
    """
    apart = {frozenset((pair.first, pair.second)) for pair in pairs if pair.separated}
    cliques: list[set[str]] = []
    for size in range(len(names), 0, -1):
        for chosen in combinations(names, size):
            together = not any(frozenset(two) in apart for two in combinations(chosen, 2))
            if together and not any(set(chosen) <= clique for clique in cliques):
                cliques.append(set(chosen))
    cliques.sort(key=lambda clique: sorted(names.index(name) for name in clique))
    return {
        name: "".join(chr(97 + i) for i, clique in enumerate(cliques) if name in clique)
        for name in names
    }


def warm_up(values: Sequence[float] | Sample) -> tuple[int, bool]:
    """How many first values are warm-up, and whether the rest is steady.

    MSER-5 (White 1997): means of five, cut where the standard error of what is left is least, among
    cuts in the first half.  The last of these says that the series has not become steady.
    """
    batches = len(values) // _MSER_BATCH
    if batches < 4:
        return 0, False
    means = np.asarray(values[: batches * _MSER_BATCH], float).reshape(batches, -1).mean(axis=1)
    errors = [float(np.var(means[cut:]) / (batches - cut)) for cut in range(batches // 2 + 1)]
    cut = int(np.argmin(errors))
    return cut * _MSER_BATCH, cut < batches // 2
