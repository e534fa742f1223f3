"""The paper's claims, each put to paired tests and given a verdict by one rule.

A comparison is one network, noise and metric, method against method. It is tested twice:

* over seeds (paired t-test): would other trainings show the same?
* over test images (Wilcoxon, values averaged over the seeds of both): do these trained networks differ?

Of a measure that some pictures lack, as the similarity of maps where there is none, both are about the
pictures of a training that have it with both methods.

Both p-values are corrected by Holm for all comparisons of the call of :func:`compare` that they come
from; a claim may use a part of those, and is then judged more strictly than it need be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from innt_lib.results import tables
from innt_lib.results.stats import Comparison, holm, paired_images, paired_test

LEVEL = 0.05
# Two trainings that happen to differ by the same amount prove nothing.
FEWEST_SEEDS = 3
# Metric -> sign of what the paper calls better, and its value for one image.
BETTER = {
    "ad": -1, "ai": 1, "aepe": -1, "similarity": 1, "gap_top1": -1, "gap_top5": -1,
    "clean_top1": 1, "noisy_top1": 1,
    # Of innt_lib.results.probing.
    "mixed_same": 1, "mixed_rand": 1, "bg_gap": -1, "worst_group": 1, "only_bg": -1, "ebpg": 1,
    "pointing": 1, "iou": 1, "ebpg_mask": 1, "iou_mask": 1, "fgsm": 1, "pgd": 1,
    "under_noise": 1,
}  # fmt: skip
_OF_IMAGE = {
    "ad": "drop", "ai": "increase", "aepe": "pointing_error", "similarity": "similarity",
    "clean_top1": "clean_top1", "noisy_top1": "noisy_top1",
}  # fmt: skip
# In [0, 1] in the results too, where all others are in percent.
_SHARES = ("ad", "ai", "aepe", "similarity")
_COLUMNS = (
    "network", "noise", "metric", "a", "b", "difference", "low", "high", "effect_size", "seeds",
    "p_seeds", "p_images", "favours",
)  # fmt: skip


def compare(
    results: pd.DataFrame,
    images: pd.DataFrame,
    a: str | Sequence[str],
    b: str | Sequence[str],
    metrics: Sequence[str],
) -> pd.DataFrame:
    """Method a against method b, or several pairs of them, in every network, noise and metric.

    Args:
        results: of :func:`innt_lib.results.tables.per_run`.
        images: of :func:`innt_lib.results.tables.per_image`, the same runs; of both, trainings that
            collapsed are left out.
        a, b: methods (or what else the column ``method`` holds); of several a each is compared with
            the one b, or with the b that stands in its place.
        metrics: keys of ``BETTER``; those without values are left out.

    Returns:
        ``network, noise, metric, a, b, difference`` (a - b), its interval over seeds ``low``,
        ``high``, ``effect_size`` and ``seeds``, ``p_seeds`` (NaN below ``FEWEST_SEEDS`` trainings),
        ``p_images`` after Holm's correction over all rows, and ``favours``: 1 if the difference
        goes a's way, -1 if b's, 0 if neither. No rows for a pair that the results do not hold.

    Raises:
        ValueError: several b, but not one for each a.
    """
    results, images = tables.standing(results), tables.standing(images)
    firsts = [a] if isinstance(a, str) else list(a)
    seconds = [b] * len(firsts) if isinstance(b, str) else list(b)
    if len(firsts) != len(seconds):
        raise ValueError(f"a (of {len(firsts)} methods) and b (of {len(seconds)}) must be pairs")
    rows = []
    for metric in (m for m in metrics if m in results and results[m].notna().any()):
        for (network, noise), group in results.groupby(["network", "noise"], sort=False):
            pairs = group.pivot(index="seed", columns="method", values=metric)
            part = images[(images["network"] == network) & (images["noise"] == noise)]
            about = {"network": network, "noise": noise, "metric": metric}
            rows += [
                about | _compare(pairs, part, one, other, metric)
                for one, other in zip(firsts, seconds, strict=True)
                if {one, other} <= set(pairs.columns)
            ]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    for column in ("p_seeds", "p_images"):
        table[column] = holm(table[column].tolist())
    return table


def _compare(
    pairs: pd.DataFrame, images: pd.DataFrame, a: str, b: str, metric: str
) -> dict[str, object]:
    # Of the same trainings: one that collapsed on one side counts on neither.
    pairs = pairs[[a, b]].dropna()
    pictures = _of_pictures(images[images["seed"].isin(pairs.index)], a, b, metric)
    both = pictures.dropna()
    if 0 < len(both) < len(pictures):
        pairs = both.groupby(level="seed").mean() * (1 if metric in _SHARES else 100)
    found = paired_test(pairs[a].to_numpy(), pairs[b].to_numpy())
    # Equal shares of other pictures differ in the last bit.
    difference = 0.0 if abs(found.difference) < 1e-12 else found.difference
    favours = 0 if math.isnan(difference) else BETTER[metric] * difference
    return {
        "a": a, "b": b, "difference": difference, "low": found.low, "high": found.high,
        "effect_size": found.effect_size, "seeds": found.n, "p_seeds": _p_seeds(found),
        "p_images": _over_images(both, a, b), "favours": (favours > 0) - (favours < 0),
    }  # fmt: skip


def _p_seeds(found: Comparison) -> float:
    return found.p if found.n >= FEWEST_SEEDS else math.nan


def _of_pictures(images: pd.DataFrame, a: str, b: str, metric: str) -> pd.DataFrame:
    """A row a picture and training, a column a method; NaN where there is no value."""
    if metric.startswith("gap_"):
        k = metric.removeprefix("gap_")
        values = images[f"clean_{k}"] - images[f"noisy_{k}"]
    else:
        column = _OF_IMAGE.get(metric, metric)
        values = images.get(column, math.nan)  # some are of no single image
    table = images.assign(value=values).pivot_table(
        index=["image", "seed"], columns="method", values="value", aggfunc="mean", dropna=False
    )
    return table.reindex(columns=[a, b])


def _over_images(both: pd.DataFrame, a: str, b: str) -> float:
    means = both.groupby(level="image").mean()
    return paired_images(means[a].to_numpy(), means[b].to_numpy())


def describe(comparisons: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """One sentence a network, noise and a: what differs significantly from b, and what does not.

    Args:
        comparisons: of :func:`compare`.
        labels: how to write a metric.
    """
    sentences = []
    keys = ["network", "noise", "a", "b"]
    for (network, noise, a, b), group in comparisons.groupby(keys, sort=False):
        level = pd.Series("undecided", group.index)
        level[group["p_images"] < LEVEL] = "significant over images"
        level[group["p_seeds"] < LEVEL] = "significant over trainings"
        said = []
        for name in dict.fromkeys(level.sort_values()):
            rows = group[level == name]
            amounts = [
                f"{labels.get(metric, metric)} {difference:+.3g}"
                for metric, difference in zip(rows["metric"], rows["difference"], strict=True)
            ]
            said.append(f"{name}: {', '.join(amounts)}")
        sentences.append(f"{network}, {noise}, {a} against {b}; {'; '.join(said)}.")
    return sentences


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Args:
        claim: in one line.
        verdict: ``"holds"`` or ``"does not hold"``, either of them perhaps ``"for these
            networks"``, ``"undecided"``, or ``"not measurable here"``.
        evidence: the counts behind it.
    """

    claim: str
    verdict: str
    evidence: str


def judge(
    claim: str, comparisons: pd.DataFrame, *, needed: str = "all", metrics: Sequence[str] = ()
) -> Verdict:
    """The verdict on a claim that a is better than b.

    Significant means p < 0.05 after correction. The claim

    * holds if all (``needed="most"``: more than half) of its comparisons go its way significantly,
    * does not hold if so many go the other way significantly that this cannot be,
    * is undecided otherwise.

    Comparisons without any difference (as of accuracies that are all 100 %) do not count.

    First over seeds; if that leaves it undecided, over images: then the verdict is one "for these
    networks".

    Args:
        claim: in one line.
        comparisons: of :func:`compare`.
        needed: ``"all"`` or ``"most"``.
        metrics: that the claim is about; the evidence names those without a comparison.

    Raises:
        ValueError: another ``needed``.
    """
    if needed not in ("all", "most"):
        raise ValueError(f"needed (={needed!r}) must be all or most")
    if comparisons.empty:
        return Verdict(claim, "not measurable here", "no such runs or measurements")
    unmeasured = [metric for metric in metrics if metric not in set(comparisons["metric"])]
    ties = int((comparisons["favours"] == 0).sum())
    comparisons = comparisons[comparisons["favours"] != 0]
    n = len(comparisons)
    if not n:
        return Verdict(claim, "not measurable here", f"no difference in any of {ties} comparisons")
    its_way, other_way = comparisons["favours"] > 0, comparisons["favours"] < 0
    over_seeds, over_images = (comparisons[p] < LEVEL for p in ("p_seeds", "p_images"))
    enough = n if needed == "all" else n // 2 + 1
    verdict = "undecided"
    for clear, scope in ((over_seeds, ""), (over_images, " for these networks")):
        if (its_way & clear).sum() >= enough:
            verdict = f"holds{scope}"
        elif (other_way & clear).sum() > n - enough:
            verdict = f"does not hold{scope}"
        if verdict != "undecided":
            break
    evidence = (
        f"{its_way.sum()} of {n} comparisons go its way, {(its_way & over_seeds).sum()} significantly "
        f"over seeds, {(its_way & over_images).sum()} over images; {(other_way & over_seeds).sum()} and "
        f"{(other_way & over_images).sum()} go the other way significantly"
        + (f"; {ties} without a difference" if ties else "")
        + ("; not tested over images" if comparisons["p_images"].isna().all() else "")
        + (f"; not measured: {', '.join(unmeasured)}" if unmeasured else "")
    )
    return Verdict(claim, verdict, evidence)


def flattens(curves: pd.DataFrame, noise: str, at: float) -> pd.DataFrame:
    """How much accuracy falls below and above a noise strength, seed by seed (Figure 6).

    Args:
        curves: ``network, seed, noise, strength, top1``, strengths 0, ``at`` and ``2 * at`` among them.
        noise: the curve.
        at: the strength.

    Returns:
        A row a network in the form of :func:`compare`, metric ``"fall"``: a is the fall from ``at``
        to ``2 * at``, b that from 0 to ``at``; it favours the claim if a is smaller.
    """
    rows = []
    for network, group in curves[curves["noise"] == noise].groupby("network", sort=False):
        top1 = group.pivot(index="seed", columns="strength", values="top1")
        below, above = top1[0.0] - top1[at], top1[at] - top1[2 * at]
        found = paired_test(above.to_numpy(), below.to_numpy())
        rows.append({
            "network": network, "noise": noise, "metric": "fall", "a": f"beyond {at:g}",
            "b": f"up to {at:g}", "difference": found.difference, "low": found.low,
            "high": found.high, "effect_size": found.effect_size, "seeds": found.n,
            "p_seeds": _p_seeds(found), "p_images": math.nan,
            "favours": int(found.difference < 0) - int(found.difference > 0),
        })  # fmt: skip
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table["p_seeds"] = holm(table["p_seeds"].tolist())
    return table
