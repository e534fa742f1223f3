"""Tests of significance on pairs of maps; ours: those of Sarkar et al. 2025 were not available.

All are made on means over a picture's pairs, as copies of one picture are not independent. Tables of
pairs and what is refused: :mod:`innt_lib.results.robustness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from innt_lib.results.claims import LEVEL
from innt_lib.results.robustness import groups
from innt_lib.results.stats import holm, paired_images
from innt_lib.results.style import CAM_LABELS


def kept_against_flipped(pairs: pd.DataFrame, by: Sequence[str] = ("strength",)) -> pd.DataFrame:
    """Is rho lower where the class flipped? One-sided Mann-Whitney U on means over a picture's pairs.

    A picture with both kept and flipped pairs has a mean in either sample; as such means tend to be
    alike, the test is then rather too cautious than too bold.

    Args:
        pairs, by: see :mod:`innt_lib.results.robustness`. Without the strength in ``by``, stronger
            noise, which moves maps and flips classes, passes for an effect of the class.

    Returns:
        A row a group: ``kept``, ``flipped``: pictures in either sample; ``mean_kept``,
        ``mean_flipped``; ``cliffs_delta``: 2 U / (kept * flipped) - 1, how much more often a kept
        picture has the higher rho than a flipped one; ``p``; ``p_holm``, corrected for all rows.
        NaN where either sample is empty.
    """
    rows = []
    for row, group in groups(pairs, by):
        kept, flipped = (_means(group, which) for which in (False, True))
        u = p = np.nan
        if meetings := len(kept) * len(flipped):
            u, p = stats.mannwhitneyu(kept, flipped, alternative="greater")
        row |= {"kept": len(kept), "flipped": len(flipped)}
        row |= {"mean_kept": kept.mean(), "mean_flipped": flipped.mean()}
        rows.append(row | {"cliffs_delta": 2 * u / max(1, meetings) - 1, "p": p})
    return _corrected(pd.DataFrame(rows))


def friedman(
    pairs: pd.DataFrame, by: Sequence[str] = (), *, of: str = "cam", flipped: bool = False
) -> pd.DataFrame:
    """Do CAMs differ at all? Friedman's test over pictures, each with its mean rho for every CAM.

    CAMs of one network are measured on the same copies with the same flips, so that nothing else
    tells a picture's means apart.

    Args:
        pairs, by: see :mod:`innt_lib.results.robustness`.
        of: the column whose values are compared.
        flipped: means over a picture's flipped pairs (where a low rho is a high responsiveness), not
            over its kept ones (where a high rho is a high consistency).

    Returns:
        A row a group: ``levels`` compared; ``pictures`` that have a mean for each; ``statistic``;
        ``kendalls_w``: how far the pictures agree on the order, 0 to 1; ``p``; ``p_holm``, corrected
        for all rows. If no picture tells any levels apart, the statistic is 0 and p 1; NaN for fewer
        than 3 levels or 2 pictures.
    """
    rows = []
    for row, group in groups(pairs, by, of):
        values = _means_by_level(group, of, flipped).dropna().to_numpy()
        n, k = values.shape
        statistic, p = np.nan, np.nan
        if k > 2 and n > 1:
            differ = np.ptp(values, axis=1).any()
            statistic, p = stats.friedmanchisquare(*values.T) if differ else (0.0, 1.0)
        row |= {"levels": k, "pictures": n, "statistic": statistic}
        rows.append(row | {"kendalls_w": statistic / max(1, n * (k - 1)), "p": p})
    return _corrected(pd.DataFrame(rows))


def pairwise(
    pairs: pd.DataFrame, by: Sequence[str] = (), *, of: str = "cam", flipped: bool = False
) -> pd.DataFrame:
    """Which CAMs differ? Wilcoxon's signed-rank test over pictures, for every two CAMs.

    Args:
        pairs, by, of, flipped: as for :func:`friedman`.

    Returns:
        A row for every two of a group: ``a``, ``b``, in order of appearance; ``difference``: mean of
        a - b over the ``pictures`` that have both; ``p`` as of :func:`innt_lib.results.stats.paired_images`,
        two-sided; ``p_holm``, corrected for all rows.
    """
    rows = []
    for row, group in groups(pairs, by, of):
        values = _means_by_level(group, of, flipped)
        for a, b in combinations(values.columns, 2):
            both = values[[a, b]].dropna()
            found = {"a": a, "b": b, "difference": (both[a] - both[b]).mean()}
            p = paired_images(both[a].to_numpy(), both[b].to_numpy())
            rows.append(row | found | {"pictures": len(both), "p": p})
    return _corrected(pd.DataFrame(rows, columns=[*by, "a", "b", "difference", "pictures", "p"]))


def differing(comparisons: pd.DataFrame) -> str:
    """A sentence: which pairs of :func:`pairwise` differ with p < ``LEVEL``, the higher rho first."""
    clear = comparisons[comparisons["p_holm"] < LEVEL]
    found = [
        f"{CAM_LABELS.get(high, high)} > {CAM_LABELS.get(low, low)}"
        for a, b, difference in clear[["a", "b", "difference"]].itertuples(index=False)
        for high, low in [(a, b) if difference > 0 else (b, a)]
    ]
    counted = f"{len(found)} of {comparisons['p'].notna().sum()} pairs differ"
    return f"{counted} (the higher rho first): {', '.join(found)}." if found else f"{counted}."


def _means(pairs: pd.DataFrame, flipped: bool, *levels: str) -> pd.Series:
    """Mean rho of each picture (and level) over its kept or its flipped pairs."""
    counted = pairs[(pairs["flipped"] == flipped) & pairs["rho"].notna()]
    # Rounded, so that means that are equal but for floating point are ties.
    return counted.groupby(["picture", *levels], observed=True)["rho"].mean().round(12)


def _means_by_level(pairs: pd.DataFrame, of: str, flipped: bool) -> pd.DataFrame:
    """A row a picture, a column a value of ``of``, in order of appearance."""
    return _means(pairs, flipped, of).unstack(of).reindex(columns=pairs[of].unique())


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(p_holm=holm(table["p"].to_numpy(float)))
