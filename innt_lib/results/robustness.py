"""From pairs of maps to the noise robustness of CAMs: measures, their differences, and intervals.

After the published description (Sarkar et al. 2025). A pair is the clean map of a picture and the map
of a noisy copy; a table of pairs has

* ``picture``: which one, the same in all its pairs;
* ``rho``: the likeness of the two maps, 0 to 1 (:func:`innt_lib.explain.overlap.rank_biased_overlap`);
  NaN where it cannot be known: such pairs are left out;
* ``flipped``: whether the noise changed the predicted class (a "flipped" pair; else a "kept" one);
* whatever else tells pairs apart, such as ``cam``, ``network``, ``corruption``, ``strength``, ``draw``.

A function's ``by`` names columns whose values make a group; the results begin with them, the others
are pooled. Every function, those of :mod:`innt_lib.results.significance` too, raises a ValueError for
a table without pairs or one of the columns, a missing picture, a rho outside [0, 1], and a flipped
that is neither true nor false.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from innt_lib.results.claims import FEWEST_SEEDS
from innt_lib.results.stats import holm, paired_test

MEASURES = ("consistency", "responsiveness", "rm", "j")
CONTRAST = (
    "measure", "a", "b", "difference", "low", "high", "pictures", "seeds", "p_images", "p_seeds", "favours",
)  # fmt: skip
RESAMPLES = 2000
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
    for row, group in groups(pairs, by, *within):
        known = group[group["rho"].notna()]
        sums = _sums_of_pictures(known, within)
        found = _measures(sums.sum(0), bool(within))[0]
        drawn = _measures(_resampled(sums, seed)[:, 0], bool(within))
        for name, value, values in zip(MEASURES, found, drawn.T, strict=True):
            low, high, _ = _spread(values, len(sums), confidence)
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        kept, flipped = sums.sum((0, 1, 3))[[0, 2]].astype(int).tolist()
        row |= {"kept": kept, "flipped": flipped, "dropped": len(group) - len(known)}
        rows.append(row | {"pictures": len(sums)})
    return pd.DataFrame(rows)


def contrasts(
    pairs: pd.DataFrame,
    of: str,
    against: Sequence[tuple[str, str]],
    measures: Sequence[str] = ("rm",),
    by: Sequence[str] = (),
    *,
    within: Sequence[str] = (),
    seed: int = 0,
) -> pd.DataFrame:
    """How much more of a measure one level of a column has than another, in every group.

    Both levels are resampled by the same pictures, so that what makes a picture hard for both does not
    blur their difference. If the pairs have a column ``seed``, the difference is taken for every
    training of its own, too, and tested over these.

    Args:
        pairs, by, within, seed: as for :func:`robustness`.
        of: the column, such as ``"cam"`` or ``"method"``.
        against: pairs (a, b) of its values; a group that lacks one of them has no row of it.
        measures: of ``MEASURES``.

    Returns:
        ``measure, a, b, difference`` (a - b; NaN where either is unknown), its 95 % interval over
        pictures ``low, high``, ``pictures``, ``seeds``; ``p_images``: two-sided, twice the smaller share
        of the resamples on either side of 0; ``p_seeds``: paired t-test, NaN below ``FEWEST_SEEDS``
        trainings; ``favours``: 1 if a has more, -1 if b has, 0 if neither or unknown. After
        :func:`corrected` what :func:`innt_lib.results.claims.judge` takes.
    """
    rows = []
    own = ["seed"] if "seed" in pairs else []
    for row, group in groups(pairs, by, of, *within, *own):
        for a, b in against:
            both = group[group[of].isin([a, b]) & group["rho"].notna()]
            if both[of].nunique() < 2:
                continue
            found, drawn, pictures = _difference(both, of, a, within, seed)
            trained = [part for _, part in both.groupby("seed")] if own else []
            alone = [_difference(part, of, a, within, None)[0] for part in trained]
            of_seeds = np.reshape(alone, (-1, len(MEASURES)))
            for measure in measures:
                i = MEASURES.index(measure)
                about = {"measure": measure, "a": a, "b": b, "difference": found[i]}
                low, high, p = _spread(drawn[:, i], pictures)
                over = paired_test(of_seeds[:, i], np.zeros(len(of_seeds)))
                rows.append(row | about | {
                    "low": low, "high": high, "pictures": pictures, "seeds": over.n, "p_images": p,
                    "p_seeds": over.p if over.n >= FEWEST_SEEDS else np.nan,
                    "favours": int(found[i] > 0) - int(found[i] < 0),
                })  # fmt: skip
    return pd.DataFrame(rows, columns=[*by, *CONTRAST])


def corrected(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The same :func:`contrasts`, their p-values after Holm's correction for all rows."""
    p = {name: holm(comparisons[name].to_numpy(float)) for name in ("p_images", "p_seeds")}
    return comparisons.assign(**p)


def readable(measures: pd.DataFrame) -> pd.DataFrame:
    """A table of :func:`robustness` for reading: ``0.52 [0.41, 0.63]``, and a dash for what is unknown."""

    def written(value: float, low: float, high: float) -> str:
        if np.isnan(value):
            return "-"
        return f"{value:.2f}" + ("" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]")

    table = measures.copy()
    for name in MEASURES:
        bounds = [name, f"{name}_low", f"{name}_high"]
        table[name] = [written(*row) for row in measures[bounds].to_numpy(float)]
        table = table.drop(columns=bounds[1:])
    return table


def groups(
    pairs: pd.DataFrame, by: Sequence[str], *others: str
) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
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


def _sums_of_pictures(
    pairs: pd.DataFrame, within: Sequence[str], side: np.ndarray | None = None
) -> np.ndarray:
    """(pictures, sides, 4, strata): kept pairs, their rho, flipped pairs, their 1 - rho.

    ``side`` numbers the two sides of a comparison, 0 or 1, pair by pair; without it there is one.
    """
    # Pictures in their own order, so that the order of rows does not matter to the bootstrap.
    picture, pictures = pairs["picture"].factorize(sort=True)
    stratum, strata = np.zeros(len(pairs), dtype=int), 1
    if within:
        found = pairs.groupby(list(within), dropna=False, observed=True)
        stratum, strata = found.ngroup().to_numpy(), found.ngroups
    sides = 1 if side is None else 2
    cell = (picture * sides + (0 if side is None else side)) * strata + stratum
    rho, flipped = pairs["rho"].to_numpy(), pairs["flipped"].to_numpy()
    quantities = (~flipped, ~flipped * rho, flipped, flipped * (1 - rho))
    shape = len(pictures), sides, strata
    sums = [np.bincount(cell, q, np.prod(shape)).reshape(shape) for q in quantities]
    return np.stack(sums, axis=2)


def _difference(
    pairs: pd.DataFrame, of: str, a: str, within: Sequence[str], seed: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Of every measure, side a less the other side; the same of resamples; the number of pictures."""
    sums = _sums_of_pictures(pairs, within, (pairs[of] != a).to_numpy().astype(int))
    drawn = sums.sum(0, keepdims=True) if seed is None else _resampled(sums, seed)
    both = [
        _measures(total[:, side], bool(within))
        for total in (sums.sum(0, keepdims=True), drawn)
        for side in (0, 1)
    ]
    return (both[0] - both[1])[0], both[2] - both[3], len(sums)


def _spread(values: np.ndarray, pictures: int, confidence: float = 0.95) -> tuple[float, ...]:
    """Interval of resampled values and two-sided p of 0; NaN where too many are undefined."""
    if pictures < 2 or np.isnan(values).mean() > UNDEFINED:
        return np.nan, np.nan, np.nan
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    # Never 0: that no resample crossed says no more than that fewer than one would.
    beyond = 1 + min((known <= 0).sum(), (known >= 0).sum())
    return float(low), float(high), min(1.0, 2 * beyond / (1 + len(known)))


def _resampled(sums: np.ndarray, seed: int) -> np.ndarray:
    """(RESAMPLES, sides, 4, strata): sums over as many pictures, drawn with replacement."""
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
