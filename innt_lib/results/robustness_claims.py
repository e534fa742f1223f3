"""What is claimed of the robustness of CAMs, and what joins it to noise training, put to verdicts.

By the rule of :func:`innt_lib.results.claims.judge`. Tables of pairs: :mod:`innt_lib.results.robustness`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from innt_lib.results.claims import LEVEL, Verdict, judge
from innt_lib.results.pairs import PERSISTENCE
from innt_lib.results.robustness import contrasts, corrected
from innt_lib.results.significance import friedman
from innt_lib.results.stats import holm
from innt_lib.results.style import CAM_LABELS, METHOD_LABELS

STRATA = ("corruption", "strength")  # within which kept and flipped pairs are compared
COPY = ("network", "seed", "cam", "picture", "corruption", "strength", "draw")
LEAST = ("eigencam", "ablationcam")
AS_IN_LIBRARY = "_as_in_library"


def check_methods(methods: Iterable[str]) -> None:
    """Raise ValueError unless ``baseline`` is there, on which CAMs are compared, and ``nt`` or ``innt``."""
    given = list(dict.fromkeys(methods))
    if "baseline" not in given or not {"nt", "innt"} & set(given):
        raise ValueError(
            f"methods (={','.join(given)}) must hold baseline, on which CAMs are compared, and nt or innt"
        )


def published(pairs: pd.DataFrame) -> list[Verdict]:
    """The published orderings, by RM within ``STRATA``, and that CAMs differ at all (Friedman).

    Args:
        pairs: with ``network`` and ``cam``; those with a library's definitions are left out.

    Returns:
        Verdicts; where no pair flipped, nor RM is known, they are not measurable here.
    """
    own = pairs[~pairs["cam"].str.endswith(AS_IN_LIBRARY)]
    cams = list(dict.fromkeys(own["cam"]))
    best = [("gradcam++", other) for other in cams if other != "gradcam++"]
    worst = [(other, low) for low in LEAST for other in cams if other not in LEAST]
    said = []
    for claim, against in (
        ("Grad-CAM++ is the most robust", best),
        ("Eigen-CAM and Ablation-CAM are the least robust", worst),
    ):
        found = corrected(contrasts(own, "cam", against, by=["network"], within=STRATA))
        said.append(judge(claim, found.dropna(subset="difference")))
    return [*said, _differ(own)]


def _differ(pairs: pd.DataFrame) -> Verdict:
    claim = "Noise sensitivity differs between CAMs"
    found = friedman(pairs, ["network"]).dropna(subset="p")
    if found.empty:
        return Verdict(claim, "not measurable here", "fewer than 3 CAMs or 2 pictures")
    evidence = "; ".join(
        f"{row.network}: Friedman over {row.pictures} pictures, {row.levels} CAMs, kept pairs, "
        f"Kendall's W {row.kendalls_w:.2f}, p {_small(row.p_holm)}"
        for row in found.itertuples()
    )
    holds = bool((found["p_holm"] < LEVEL).all())
    return Verdict(claim, "holds for these networks" if holds else "undecided", evidence)


def readings(pairs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The same pairs under the readings that need no further maps, the default first.

    Args:
        pairs: of :func:`innt_lib.results.pairs.pairs`, with a library's definitions of Grad-CAM++ and
            Eigen-CAM beside the default ones, if these are to be exchanged.
    """
    found = {"default": pairs}
    for p in PERSISTENCE[1:]:
        found[f"p = {p:g}"] = pairs.assign(rho=pairs[f"rho_{p:g}"])
    if pairs["correct"].any():
        found["correct pictures only"] = pairs[pairs["correct"]]
    # One stratum of all.
    found["pooled over strengths"] = pairs.assign(corruption="all", strength=0)
    for name in ("gradcam++", "eigencam"):
        other = pairs["cam"] == name + AS_IN_LIBRARY
        if other.any():
            exchanged = pairs[pairs["cam"] != name].copy()
            exchanged.loc[other, "cam"] = name
            found[f"{CAM_LABELS[name]} as in the library"] = exchanged
    return found


def under(readings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The verdicts of :func:`published` under every reading: a row a claim, a column a reading."""
    columns = {
        name: {verdict.claim: verdict.verdict for verdict in published(pairs)}
        for name, pairs in readings.items()
    }
    return pd.DataFrame(columns).rename_axis("claim").reset_index()


def turned(table: pd.DataFrame) -> str:
    """A sentence: which verdicts of :func:`under` are others than under the default."""
    found = [
        f"{row['claim']!r} is {row[name]!r}, not {row['default']!r}, with {name}"
        for _, row in table.iterrows()
        for name in table.columns[2:]
        if row[name] != row["default"]
    ]
    counted = f"{table.shape[0] * (table.shape[1] - 2)} verdicts under other readings"
    return f"All {counted} are the default's." if not found else "; ".join(found) + "."


def on_shared_copies(pairs: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """The pairs of two methods on the copies that both kept or both flipped.

    A network that withstands noise keeps its answer on copies which another gives up, and these are
    the hard ones: on its own kept pairs it may look less consistent for that alone.

    Args:
        pairs: with the columns ``method`` and ``COPY``; attacked copies are aimed at one network, so
            that they are not the same copies.
    """
    known = pairs[pairs["rho"].notna() & pairs["method"].isin([a, b])]
    copy = known.groupby(list(COPY))
    agreed = (copy["method"].transform("nunique") == 2) & (
        copy["flipped"].transform("nunique") == 1
    )
    return known[agreed]


def trained(pairs: pd.DataFrame) -> pd.DataFrame:
    """Consistency and responsiveness, method against method, for every two that are there.

    Args:
        pairs: of one CAM, with ``method`` and ``COPY``.

    Returns:
        The columns of :func:`innt_lib.results.robustness.contrasts`, corrected, and ``copies``:
        ``"own"``: each method on the pairs that it kept or flipped itself, within ``STRATA``;
        ``"shared"``: on those of :func:`on_shared_copies`.
    """
    check_methods(pairs["method"])
    there = [name for name in ("baseline", "nt", "innt") if name in set(pairs["method"])]
    against = [(a, b) for j, a in enumerate(there) for b in there[:j]]
    measures = ("consistency", "responsiveness")
    parts = []
    for a, b in against:
        shared = on_shared_copies(pairs, a, b)
        # The same copies need no further comparing like with like.
        for copies, part, within in (("own", pairs, STRATA), ("shared", shared, ())):
            if len(part):
                found = contrasts(part, "method", [(a, b)], measures, ["network"], within=within)
                parts.append(found.assign(copies=copies))
    return corrected(pd.concat(parts, ignore_index=True))


def joined(comparisons: pd.DataFrame) -> list[Verdict]:
    """Do NT and INNT raise consistency, and do they pay for it in responsiveness?

    Args:
        comparisons: of :func:`trained`.

    Returns:
        Of every two methods a verdict on either, for their own pairs and for those on shared copies.
    """
    said = []
    for (a, b, copies), group in comparisons.groupby(["a", "b", "copies"], sort=False):
        first, second = METHOD_LABELS[a], METHOD_LABELS[b]
        where = {"own": "each on its own pairs", "shared": "on the same copies"}[copies]
        for measure, sign, words in (
            ("consistency", 1, "more consistent"), ("responsiveness", -1, "less responsive"),
        ):  # fmt: skip
            part = group[group["measure"] == measure].dropna(subset="difference")
            claim = f"{first} is {words} than {second}, {where}"
            found = judge(claim, part.assign(favours=sign * part["favours"]))
            amounts = "; ".join(
                f"{row.network} {row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}], p "
                f"{row.p_images:.2g} after Holm's correction"
                for row in part.itertuples()
            )
            said.append(Verdict(claim, found.verdict, amounts or "no such pairs"))
    return said


def between_data_sets(
    measures: Mapping[str, pd.DataFrame], measure: str = "consistency"
) -> Verdict:
    """Does the data set matter? Two data sets, the same network, CAM by CAM, from their intervals.

    Pictures of two data sets have nothing in common, so that the variance of a difference is the sum
    of both, read off the intervals; two-sided, after Holm's correction.

    Args:
        measures: by data set, of :func:`innt_lib.results.robustness.robustness` by network and cam.
        measure: of ``robustness.MEASURES``.
    """
    rows = []
    names = list(measures)
    columns = ["network", "cam", measure, f"{measure}_low", f"{measure}_high"]
    for i, second in enumerate(names):
        for first in names[:i]:
            two = (measures[name][columns].set_index(columns[:2]) for name in (first, second))
            both = pd.concat(two, axis=1, keys=["a", "b"]).dropna()
            both = both[~both.index.get_level_values("cam").str.endswith(AS_IN_LIBRARY)]
            difference = both["a"][measure] - both["b"][measure]
            width = sum(
                (both[side][f"{measure}_high"] - both[side][f"{measure}_low"]) ** 2 for side in "ab"
            )
            z = difference.abs() / (np.sqrt(width) / (2 * stats.norm.ppf(0.975)))
            rows += [2 * stats.norm.sf(value) for value in z]
    claim = f"The data set matters for {measure}"
    if not rows:
        return Verdict(claim, "not measurable here", "no network was measured on two data sets")
    clear = int((np.array(holm(rows)) < LEVEL).sum())
    verdict = "holds for these networks" if clear else "undecided"
    return Verdict(claim, verdict, f"{clear} of {len(rows)} networks and CAMs differ significantly")


def _small(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"
