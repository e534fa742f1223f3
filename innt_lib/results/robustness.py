"""From pairs of maps to the noise robustness of CAMs: measures, intervals and tests.

After the published description (Sarkar et al. 2025), whose statistical tests were not available: those
here are ours. A pair is the clean map of a picture and the map of a noisy copy; a table of pairs has

* ``picture``: which one, the same in all its pairs;
* ``rho``: the likeness of the two maps, 0 to 1 (:func:`innt_lib.explain.regions.rank_biased_overlap`);
  NaN where it cannot be known: such pairs are left out;
* ``flipped``: whether the noise changed the predicted class (a "flipped" pair; else a "kept" one);
* whatever else tells pairs apart, such as ``cam``, ``network``, ``corruption``, ``strength``, ``draw``.

A function's ``by`` names columns whose values make a group; the results begin with them, the others
are pooled. Every function raises a ValueError for a table without pairs or one of the columns, a
missing picture, a rho outside [0, 1], and a flipped that is neither true nor false.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from innt_lib.results.stats import holm, paired_images

Groups = Iterator[tuple[dict[str, object], pd.DataFrame]]
MEASURES = ("consistency", "responsiveness", "rm", "j")
RESAMPLES = 1000
# An interval is given if no larger share of the resamples leaves the measure undefined.
UNDEFINED = 0.05


def robustness(
    pairs: pd.DataFrame,
    by: Sequence[str] = (),
    *,
    within: Sequence[str] = (),
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Consistency, responsiveness and what is made of them, one row a group.

    * ``consistency`` C: mean :math:`\rho` of kept pairs: the map stays while the class does;
    * ``responsiveness`` R: mean :math:`1 - \rho` of flipped pairs: the map moves when the class does;
    * ``rm``: :math:`C R`, the robustness metric, in [0, 1], higher is better;
    * ``j``: :math:`C + R - 1`, 0 for a CAM whose likeness does not depend on whether the class
      flipped, where ``rm`` may be anything up to 0.25.

    Pooled, R also grows because stronger noise both moves maps and flips classes. ``within`` compares
    like with like: C and R are computed in every stratum and averaged, both with the weight
    :math:`k f / (k + f)` of a stratum of k kept and f flipped pairs, which tells a common ``j`` most
    precisely. Strata without kept or without flipped pairs weigh nothing.

    Args:
        pairs, by: see the module.
        within: columns whose values make a stratum, such as ``["corruption", "strength"]``.
        confidence: of the percentile bootstrap over pictures, each of which is drawn with all its
            pairs, as these are not independent. Groups of equally many pictures are resampled alike.
        seed: of its ``RESAMPLES``.

    Returns:
        Each of ``MEASURES`` followed by its ``_low`` and ``_high``; ``kept``, ``flipped``,
        ``dropped`` (pairs), ``pictures``. A measure without pairs is NaN; an interval also for fewer
        than 2 pictures, and if more than the share ``UNDEFINED`` of the resamples leave the measure
        undefined, as when fewer than 3 pictures of many have flipped pairs.

    Raises:
        ValueError: see the module; confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence (={confidence}) must lie between 0 and 1")
    rows = []
    for row, group in _groups(pairs, by, *within):
        known = group[group["rho"].notna()]
        sums = _sums_of_pictures(known, within)
        found = _measures(sums.sum(0, keepdims=True), bool(within))[0]
        drawn = _measures(_resampled(sums, seed), bool(within))
        for name, value, values in zip(MEASURES, found, drawn.T, strict=True):
            low = high = np.nan
            if len(sums) > 1 and np.isnan(values).mean() <= UNDEFINED:
                low, high = np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        kept, flipped = sums.sum((0, 2))[[0, 2]].astype(int).tolist()
        row |= {"kept": kept, "flipped": flipped, "dropped": len(group) - len(known)}
        rows.append(row | {"pictures": len(sums)})
    return pd.DataFrame(rows)


def kept_against_flipped(pairs: pd.DataFrame, by: Sequence[str] = ("strength",)) -> pd.DataFrame:
    """Is rho lower where the class flipped? One-sided Mann-Whitney U on means over a picture's pairs.

    A picture with both kept and flipped pairs has a mean in either sample; as such means tend to be
    alike, the test is then rather too cautious than too bold.

    Args:
        pairs, by: see the module. Without the strength in ``by``, stronger noise, which moves maps
            and flips classes, passes for an effect of the class.

    Returns:
        A row a group: ``kept``, ``flipped``: pictures in either sample; ``mean_kept``,
        ``mean_flipped``; ``cliffs_delta``: 2 U / (kept * flipped) - 1, how much more often a kept
        picture has the higher rho than a flipped one; ``p``; ``p_holm``, corrected for all rows.
        NaN where either sample is empty.
    """
    rows = []
    for row, group in _groups(pairs, by):
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
        pairs, by: see the module.
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
    for row, group in _groups(pairs, by, of):
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
    for row, group in _groups(pairs, by, of):
        values = _means_by_level(group, of, flipped)
        for a, b in combinations(values.columns, 2):
            both = values[[a, b]].dropna()
            found = {"a": a, "b": b, "difference": (both[a] - both[b]).mean()}
            p = paired_images(both[a].to_numpy(), both[b].to_numpy())
            rows.append(row | found | {"pictures": len(both), "p": p})
    return _corrected(pd.DataFrame(rows, columns=[*by, "a", "b", "difference", "pictures", "p"]))


def _groups(pairs: pd.DataFrame, by: Sequence[str], *others: str) -> Groups:
    """The values of ``by`` and the pairs that have them, in order of appearance, after a check."""
    needed = list(dict.fromkeys(["picture", "rho", "flipped", *by, *others]))
    if lacking := [name for name in needed if name not in pairs]:
        raise ValueError(f"pairs must have the columns {', '.join(needed)}; no {lacking[0]!r}")
    if pairs.empty or pairs["picture"].isna().any():
        raise ValueError("pairs must hold at least one pair of maps, and name the picture of each")
    rho, flipped = pairs["rho"], pairs["flipped"]
    if (wrong := (rho < 0) | (rho > 1)).any():
        raise ValueError(f"rho (with {rho[wrong].iloc[0]:g}) must lie in [0, 1]")
    if (wrong := ~flipped.isin([False, True])).any():
        raise ValueError(f"flipped (with {flipped[wrong].iloc[0]!r}) must be true or false")
    table = pairs[needed].astype({"flipped": bool})
    if not by:
        yield {}, table
        return
    for key, group in table.groupby(list(by), sort=False, dropna=False, observed=True):
        yield dict(zip(by, key, strict=True)), group


def _sums_of_pictures(pairs: pd.DataFrame, within: Sequence[str]) -> np.ndarray:
    """(pictures, 4, strata): kept pairs, their rho, flipped pairs, their 1 - rho."""
    # Pictures in their own order, so that the order of rows does not matter to the bootstrap.
    picture, pictures = pairs["picture"].factorize(sort=True)
    stratum, strata = np.zeros(len(pairs), dtype=int), 1
    if within:
        groups = pairs.groupby(list(within), dropna=False, observed=True)
        stratum, strata = groups.ngroup().to_numpy(), groups.ngroups
    rho, flipped = pairs["rho"].to_numpy(), pairs["flipped"].to_numpy()
    quantities = (~flipped, ~flipped * rho, flipped, flipped * (1 - rho))
    cell, cells = picture * strata + stratum, len(pictures) * strata
    sums = [np.bincount(cell, q, cells).reshape(len(pictures), strata) for q in quantities]
    return np.stack(sums, axis=1)


def _resampled(sums: np.ndarray, seed: int) -> np.ndarray:
    """(RESAMPLES, 4, strata): sums over as many pictures, drawn with replacement."""
    n, rng = len(sums), np.random.default_rng(seed)
    found = np.zeros((RESAMPLES, *sums.shape[1:]))
    for one in found if n else ():
        # How often each is drawn: eight times as fast as drawing multinomial counts.
        one[:] = np.tensordot(np.bincount(rng.integers(n, size=n), minlength=n), sums, 1)
    return found


def _measures(sums: np.ndarray, stratified: bool) -> np.ndarray:
    """(B, 4, strata) -> (B, 4): ``MEASURES``."""
    kept, kept_rho, flipped, flipped_change = np.moveaxis(sums, 1, 0)
    weight = np.ones_like(kept)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is NaN: not known
        if stratified:
            weight = np.nan_to_num(kept * flipped / (kept + flipped))
        c, r = (
            np.where(weight > 0, weight * of_strata, 0).sum(1) / weight.sum(1)
            for of_strata in (kept_rho / kept, flipped_change / flipped)
        )
    return np.stack([c, r, c * r, c + r - 1], axis=1)


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
