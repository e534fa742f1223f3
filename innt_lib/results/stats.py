"""Seeds and images -> means with intervals, paired tests, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Attributes:
        mean: NaN if there is no value.
        low, high: NaN if there are fewer than 2 values, from which no spread can be known.
        n: values used.
        dropped: NaNs left out.
    """

    mean: float
    low: float
    high: float
    n: int
    dropped: int = 0


@dataclass(frozen=True)
class Comparison:
    """What a paired comparison of a against b found.

    Attributes:
        difference: mean of a - b over the pairs; NaN if there is none.
        low, high: its confidence interval; NaN for fewer than 2 pairs.
        p: two-sided; 1 if all differences are 0, NaN for fewer than 2 pairs.
        effect_size: mean difference over the standard deviation of the differences (Cohen's d_z);
            0 if all differences are 0, infinite if all are one other number, NaN for fewer than 2
            pairs.
        n: pairs used.
        dropped: pairs left out because either value is NaN.
    """

    difference: float
    low: float
    high: float
    p: float
    effect_size: float
    n: int
    dropped: int = 0


def mean_interval(values: Values, confidence: float = 0.95) -> Interval:
    """Mean over a few seeds with Student's t interval.

    Args:
        values: one number a seed; NaNs are left out and counted.
        confidence: between 0 and 1.

    Raises:
        ValueError: values not one-dimensional or infinite; confidence outside (0, 1).
    """
    found, dropped = _known(_numbers("values", values))
    mean, low, high, _ = _student(found, confidence)
    return Interval(mean, low, high, len(found), dropped)


def paired_test(a: Values, b: Values, confidence: float = 0.95) -> Comparison:
    """Paired t-test of two methods over the same few seeds.

    Equal differences, as a few accuracies on a small test set may have, show no spread to test
    against: p is NaN then, unless they are all 0.

    Args:
        a, b: one number a seed, in the same order; pairs with a NaN are left out and counted.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: lengths differ; not one-dimensional or infinite; confidence outside (0, 1).
    """
    difference, dropped = _differences(a, b)
    mean, low, high, p = _student(difference, confidence)
    effect_size = _effect_size(difference)
    p = math.nan if math.isinf(effect_size) else p
    return Comparison(mean, low, high, p, effect_size, len(difference), dropped)


def paired_images(a: Values, b: Values) -> float:
    """Two-sided p of Wilcoxon's signed-rank test over the images of a test set.

    It asks whether one side tends to win among the images that differ, and needs no normal theory. It
    speaks of further images for the networks at hand, not of further seeds. Where the ranks favour one
    side and the mean the other, as with a few large differences against many small ones, p is 1:
    neither side is better in both senses. It is 1, too, if there is no difference at all, and NaN for
    fewer than 2 pairs.

    Args:
        a, b: one number an image, in the same order; pairs with a NaN are left out.

    Raises:
        ValueError: lengths differ; not one-dimensional or infinite.
    """
    difference, _ = _differences(a, b)
    if len(difference) < 2:
        return math.nan
    differing = difference[difference != 0]
    ranks = stats.rankdata(np.abs(differing))
    favoured = float((ranks * np.sign(differing)).sum())
    if not len(differing) or favoured * difference.mean() < 0:
        return 1.0
    return float(stats.wilcoxon(difference).pvalue)


def holm(p_values: Sequence[float] | np.ndarray) -> list[float]:
    """P-values after Holm's step-down correction for their number, in the order given.

    A NaN (a test that could not be made) stays NaN and does not count as a test.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    p = np.array(p_values, dtype=float)
    if (wrong := p[(p < 0) | (p > 1)]).size:
        raise ValueError(f"p_values (with {wrong[0]:g}) must lie in [0, 1]")
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaNs sort last
    tests_left = np.arange(len(order), 0, -1)
    p[order] = np.minimum(1, np.maximum.accumulate(tests_left * p[order]))
    return [float(value) for value in p]


def _student(values: np.ndarray, confidence: float) -> tuple[float, float, float, float]:
    """Mean, its interval, and p of the mean being 0, by Student's t."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence (={confidence}) must lie between 0 and 1")
    n = len(values)
    if n < 2:
        return float(values[0]) if n else math.nan, math.nan, math.nan, math.nan
    if np.ptp(values) == 0:
        same = float(values[0])
        return same, same, same, float(same == 0)
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(n)
    reach = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    return mean, mean - reach, mean + reach, float(2 * stats.t.sf(abs(mean) / error, n - 1))


def _effect_size(difference: np.ndarray) -> float:
    if len(difference) < 2:
        return math.nan
    if np.ptp(difference) == 0:
        return math.copysign(math.inf, difference[0]) if difference[0] else 0.0
    return float(difference.mean() / difference.std(ddof=1))


def _differences(a: Values, b: Values) -> tuple[np.ndarray, int]:
    """a - b of the pairs without NaN, and how many pairs had one."""
    first, second = _numbers("a", a), _numbers("b", b)
    if len(first) != len(second):
        raise ValueError(f"a (of length {len(first)}) and b (of {len(second)}) must be pairs")
    # Without what floating point adds: 1/3 of a picture, computed in two ways, is a tie.
    return _known(np.round(first - second, 12))


def _known(values: np.ndarray) -> tuple[np.ndarray, int]:
    missing = np.isnan(values)
    return values[~missing], int(missing.sum())


def _numbers(name: str, values: Values) -> np.ndarray:
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or np.isinf(found).any():
        raise ValueError(f"{name} (of shape {found.shape}) must be a list of finite numbers or NaN")
    return found
