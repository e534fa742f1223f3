"""Intervals and tests against values by hand and against scipy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from innt_lib.results.stats import (
    Comparison,
    Interval,
    holm,
    mean_interval,
    paired_images,
    paired_test,
)

NAN = math.nan


def test_mean_interval_by_hand() -> None:
    # Mean 2, standard error 1 / sqrt(3), t(0.975, 2) = 4.302653.
    found = mean_interval([1, 2, 3])
    assert (found.mean, found.n, found.dropped) == (2, 3, 0)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    narrower = mean_interval([1, 2, 3], confidence=0.5)  # t(0.75, 2) = 0.816497
    assert narrower.high == pytest.approx(2 + 0.816497 / math.sqrt(3), abs=1e-6)


def test_mean_interval_of_little() -> None:
    one = mean_interval([0.7])
    assert (one.mean, one.n) == (0.7, 1) and math.isnan(one.low) and math.isnan(one.high)
    assert all(math.isnan(v) for v in (mean_interval([]).mean, mean_interval([NAN]).mean))
    two = mean_interval([NAN, 1, 3, NAN])  # t(0.975, 1) = 12.706205, standard error 1
    assert (two.mean, two.n, two.dropped) == (2, 2, 2)
    assert (two.low, two.high) == pytest.approx((2 - 12.706205, 2 + 12.706205), abs=1e-5)
    assert mean_interval([0.1, 0.1, 0.1]) == Interval(0.1, 0.1, 0.1, 3)


def test_mean_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [mean_interval(rng.normal(5, 2, 4), 0.9) for _ in range(2000)]
    assert np.mean([f.low <= 5 <= f.high for f in found]) == pytest.approx(0.9, abs=0.02)


def test_paired_test_against_scipy() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.3, 1, 7), rng.normal(0, 1, 7)
    found, expected = paired_test(a, b, 0.9), scipy_stats.ttest_rel(a, b)
    low, high = expected.confidence_interval(0.9)
    assert (found.p, found.low, found.high) == pytest.approx((expected.pvalue, low, high))
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert (found.n, found.dropped) == (7, 0)


def test_paired_test_by_hand() -> None:
    # Differences 1, 2, 3: t = 2 sqrt(3), d = 2; for 2 degrees of freedom p = 1 - t / sqrt(t^2 + 2).
    found = paired_test([2, 4, 6, NAN, 1], [1, 2, 3, 1, NAN])
    assert (found.difference, found.effect_size, found.n, found.dropped) == (2, 2, 3, 2)
    assert found.p == pytest.approx(1 - math.sqrt(12 / 14))
    assert paired_test([1, 2, 3], [2, 4, 6]).effect_size == -2


def test_comparisons_without_spread() -> None:
    assert paired_test([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) == Comparison(0, 0, 0, 1, 0, 3)
    same = paired_test([3, 4, 5], [2, 3, 4])
    assert (same.difference, same.low, same.high, same.effect_size) == (1, 1, 1, math.inf)
    assert paired_test([2, 3, 4], [3, 4, 5]).effect_size == -math.inf
    one = paired_test([2, NAN], [1, 1])
    assert (one.difference, one.n, one.dropped) == (1, 1, 1)
    assert all(math.isnan(v) for v in (one.low, one.high, one.p, one.effect_size))
    none = paired_test([NAN], [1])
    assert none.n == 0 and math.isnan(none.difference)


def test_images_without_spread() -> None:
    assert paired_images([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) == 1
    assert math.isnan(paired_images([2, NAN], [1, 1])) and math.isnan(paired_images([NAN], [1]))


def test_equal_differences_of_a_few_seeds_are_no_certainty() -> None:
    assert math.isnan(paired_test([3, 4, 5], [2, 3, 4]).p)
    # 0.5 points each, but for what floating point makes of them
    assert math.isnan(paired_test([0.7, 0.3, 0.1], [0.7 - 0.5, 0.3 - 0.5, 0.1 - 0.5]).p)
    assert 0 < paired_images([3, 4, 5], [2, 3, 4]) <= 0.25  # all of 2^3 signs agree


def test_paired_images_against_scipy() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.2, 1, 400), rng.normal(0, 1, 400)
    assert paired_images(a, b) == pytest.approx(scipy_stats.wilcoxon(a, b).pvalue)
    assert paired_images(b, a) == pytest.approx(paired_images(a, b))
    assert paired_images([*a, NAN], [*b, 1]) == paired_images(a, b)


def test_differences_that_are_equal_but_for_rounding_are_ties() -> None:
    thirds = np.array([0.1 + 0.2, 0.3, 0.6 / 2, 0.9 / 3, 0.6, 0.2 + 0.4, 0.3 + 0.3, 1.8 / 3])
    assert len(np.unique(thirds)) > 2
    a, b = np.r_[thirds, np.zeros(3)], np.r_[np.zeros(8), 0.3, 0.1 + 0.2, 0.6]
    assert paired_images(a, b) == paired_images(a.round(3), b.round(3)) < 1
    assert paired_test([0.1 + 0.2], [0.3]).difference == 0


def test_ranks_against_the_mean_decide_nothing() -> None:
    """Lower in 80 images by little, higher in 20 by much: the mean is higher, the ranks are not."""
    a = np.r_[-np.linspace(0.01, 0.05, 80), np.linspace(0.45, 0.55, 20)]
    assert scipy_stats.wilcoxon(a).pvalue < 0.05 and a.mean() > 0
    assert paired_images(a, np.zeros(100)) == 1
    assert paired_images(-a, np.zeros(100)) == 1


def test_paired_images_of_hits_and_misses() -> None:
    """Increase is 0 or 1: most differences are 0, the others decide (here about a sign test)."""
    a, b = np.zeros(100), np.zeros(100)
    a[:12], b[12:15] = 1, 1
    assert paired_images(a, b) == pytest.approx(scipy_stats.binomtest(12, 15).pvalue, abs=0.02)
    a[:] = 0
    a[:3] = 1
    assert paired_images(a, np.roll(a, 50)) == pytest.approx(1)


def test_holm_by_hand() -> None:
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, then 0.04 * 1, held at the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == [] and holm([0.2]) == [0.2]
    found = holm([0.02, NAN, 0.03])  # two tests, not three
    assert math.isnan(found[1]) and [found[0], found[2]] == pytest.approx([0.04, 0.04])
    with pytest.raises(ValueError, match="1.5"):
        holm([0.1, 1.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_for_any_p_values(p: list[float]) -> None:
    found = holm(p)
    for i, value in enumerate(p):
        # Bonferroni of each on its own, among those no smaller; the largest of those before it.
        before = [sum(q >= r for q in p) * r for r in p if r <= value]
        assert found[i] == pytest.approx(min(1, max(before)))
        assert value <= found[i] <= min(1, len(p) * value + 1e-12)


def test_refuses() -> None:
    with pytest.raises(ValueError, match="a .of length 2. and b .of 3."):
        paired_test([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"values \(of shape \(2, 1\)\)"):
        mean_interval(np.ones((2, 1)))
    with pytest.raises(ValueError, match="finite"):
        mean_interval([math.inf, 1])
    for confidence in (0, 1, 95):
        with pytest.raises(ValueError, match=rf"confidence \(={confidence}\)"):
            mean_interval([1, 2], confidence)
    with pytest.raises(ValueError, match="a .of length 2. and b .of 1."):
        paired_images([1, 2], [1])
