"""Statistics against scipy, published figures, and simulated samples whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from levada.twin.experiments.statistics import (
    Pair,
    bootstrap_interval,
    cliffs_delta,
    compare,
    equal_groups,
    hierarchical_interval,
    holm,
    least_p,
    permutation_p,
    warm_up,
)


def test_holm_gives_the_figures_of_a_calculation_by_hand() -> None:
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, then the running maximum
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_never_exceeds_one() -> None:
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_an_exact_permutation_counts_the_ways() -> None:
    # of the 20 ways to divide six numbers, this one and its mirror image are the most extreme
    assert permutation_p([1, 2, 3], [10, 11, 12]) == pytest.approx(2 / 20)
    assert least_p(3, 3) == pytest.approx(2 / 20)


def test_equal_samples_are_not_separated() -> None:
    assert permutation_p([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]) == 1.0


def test_the_test_agrees_with_the_t_test_on_normal_samples() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 40), rng.normal(0.5, 1, 40)
    assert permutation_p(list(a), list(b)) == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.01)


def test_cliffs_delta_follows_from_the_u_statistic() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, 30), rng.normal(1, 1, 20)
    u = stats.mannwhitneyu(a, b).statistic
    assert cliffs_delta(a, b) == pytest.approx(2 * u / 600 - 1)
    assert cliffs_delta([3, 4], [1, 2]) == 1.0


def test_intervals_of_one_value_have_no_bounds_and_of_equal_ones_no_width() -> None:
    assert np.isnan(bootstrap_interval([5.0]).low)
    same = bootstrap_interval([5.0, 5.0, 5.0])
    assert (same.low, same.high) == (5.0, 5.0)
    assert np.isnan(hierarchical_interval([np.ones(9)], lambda x: float(x.mean())).low)


def test_the_interval_of_a_mean_is_near_that_of_student() -> None:
    x = np.random.default_rng(5).normal(10, 2, 60)
    found = bootstrap_interval(x)
    low, high = stats.t.interval(0.95, 59, x.mean(), stats.sem(x))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1)


def test_an_interval_over_processes_is_that_of_their_means() -> None:
    """Many messages of few processes do not make the interval narrow."""
    rng = np.random.default_rng(6)
    groups = [rng.normal(level, 1, 200) for level in rng.normal(10, 1, 8)]
    means = [float(group.mean()) for group in groups]
    found = hierarchical_interval(groups, lambda x: float(x.mean()))
    low, high = stats.t.interval(0.95, 7, np.mean(means), stats.sem(means))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.25)


def _pair(first: str, second: str, separated: bool) -> Pair:
    nothing = bootstrap_interval([0.0])
    return Pair(
        first=first,
        second=second,
        ratio=nothing,
        delta=nothing,
        p=0.0,
        p_adjusted=0.0,
        separated=separated,
    )


def test_strategies_that_the_test_does_not_separate_share_a_letter() -> None:
    pairs = [_pair("A", "B", False), _pair("B", "C", False), _pair("A", "C", True)]
    assert equal_groups("ABC", pairs) == {"A": "a", "B": "ab", "C": "b"}


def test_a_known_difference_is_found_and_the_others_are_equal() -> None:
    rng = np.random.default_rng(7)
    cells = {name: list(rng.normal(10, 1, 12)) for name in "AB"} | {
        "C": list(rng.normal(20, 1, 12))
    }
    found = compare(cells)
    letters = equal_groups("ABC", found)
    assert letters["A"] == letters["B"] != letters["C"]
    ratio = next(p.ratio for p in found if (p.first, p.second) == ("A", "C"))
    assert ratio.low < 0.5 < ratio.high


def test_the_warm_up_of_a_step_ends_at_the_step() -> None:
    rng = np.random.default_rng(8)
    cut, well = warm_up(np.concatenate([np.full(20, 50.0), rng.normal(5, 1, 80)]))
    assert 20 <= cut <= 30
    assert well


def test_a_warm_up_that_takes_half_of_the_series_is_said() -> None:
    assert warm_up(1_000 * np.exp(-np.arange(100.0) / 20))[1] is False
    assert warm_up([1.0] * 10) == (0, False)


def coverage(count: int, runs: int, resamples: int) -> float:
    """Share of 95 % intervals over processes that hold the true mean."""
    rng = np.random.default_rng(9)
    hits = 0
    for run in range(runs):
        groups = [rng.normal(level, 2, 20) for level in rng.normal(0, 1, count)]
        found = hierarchical_interval(
            groups, lambda x: float(x.mean()), seed=run, resamples=resamples
        )
        hits += found.low <= 0 <= found.high
    return hits / runs


def false_positives(runs: int, count: int = 6) -> float:
    """Share of experiments with five equal strategies in which any two are separated."""
    rng = np.random.default_rng(10)
    wrong = 0
    for _ in range(runs):
        cells = [list(rng.lognormal(0, 0.5, count)) for _ in range(5)]
        pairs = [permutation_p(a, b) for i, a in enumerate(cells) for b in cells[:i]]
        wrong += min(holm(pairs)) <= 0.05
    return wrong / runs


def test_intervals_cover_the_truth_in_a_small_simulation() -> None:
    assert 0.90 <= coverage(8, 200, 100) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 10, 30])
def test_intervals_cover_the_truth_in_95_of_100(count: int) -> None:
    assert 0.93 <= coverage(count, 3_000, 200) <= 0.97


@pytest.mark.slow
def test_bootstrap_intervals_of_normal_samples_cover_the_truth() -> None:
    rng = np.random.default_rng(11)
    found = [bootstrap_interval(rng.normal(0, 1, 50), seed=i, resamples=999) for i in range(2_000)]
    assert 0.93 <= np.mean([i.low <= 0 <= i.high for i in found]) <= 0.97


def test_equal_strategies_are_seldom_called_different() -> None:
    assert false_positives(15) <= 0.10


@pytest.mark.slow
def test_false_positives_of_a_whole_family_are_at_most_5_in_100() -> None:
    # 0.05 and the 99 % bound of the simulation's own error
    assert false_positives(1_000) <= 0.05 + 2.33 * (0.05 * 0.95 / 1_000) ** 0.5
