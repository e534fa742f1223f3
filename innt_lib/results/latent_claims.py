"""Verdicts on latent neighbours, and the controls that tell what in LVAT is the latent direction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import pandas as pd

from innt_lib.data import ImageSet
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors.vat import VAT
from innt_lib.results.claims import FEWEST_SEEDS, judge
from innt_lib.results.experiment import Experiment
from innt_lib.results.latent import search
from innt_lib.results.run import Run
from innt_lib.results.stats import holm, mean_interval, paired_images, paired_test
from innt_lib.results.style import METHOD_LABELS
from innt_lib.results.tables import standing

POSSIBLE = {"error": (0.0, 100.0), "similarity": (-1.0, 1.0)}


def more_adverse(measured: pd.DataFrame) -> pd.DataFrame:
    """Is the KL of latent neighbours larger than VAT's at the same distance?

    Args:
        measured: of :func:`at_equal_distance`, with the ``seed`` and the ``network`` of each training.

    Returns:
        Rows in the form of :func:`innt_lib.results.claims.compare`, a the latent neighbour, b VAT.
    """
    rows = []
    for (network, name), group in measured.groupby(["network", "neighbor"], sort=False):
        seeds = group.groupby("seed")[["kl", "kl_vat"]].mean()
        found = paired_test(seeds["kl"].to_numpy(), seeds["kl_vat"].to_numpy())
        pictures = group.groupby("picture")[["kl", "kl_vat"]].mean()
        p_images = paired_images(pictures["kl"].to_numpy(), pictures["kl_vat"].to_numpy())
        rows.append({
            "network": network, "noise": "none", "metric": "kl", "a": name, "b": "vat",
            "difference": found.difference, "low": found.low, "high": found.high,
            "effect_size": found.effect_size, "seeds": found.n,
            "p_seeds": found.p if found.n >= FEWEST_SEEDS else math.nan, "p_images": p_images,
            "favours": int(found.difference > 0) - int(found.difference < 0),
        })  # fmt: skip
    table = pd.DataFrame(rows)
    for column in ("p_seeds", "p_images"):
        table[column] = holm(table[column].tolist())
    return table


def verdicts(
    compared: pd.DataFrame, adverse: pd.DataFrame, beats: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    """The abstract's claims, and whether maps are steadier: ``claim, verdict, evidence``.

    Args:
        compared: of :func:`innt_lib.results.claims.compare`, accuracy and similarity, with a column
            ``labels``, 0 for all.
        adverse: of :func:`more_adverse`.
        beats: pairs of methods, the first of which is to be the more accurate; all others are asked about
            their maps.
    """
    found = []
    few, everything = compared["labels"] > 0, compared["labels"] == 0

    def of(a: str, b: str, metric: str) -> pd.Series:
        return (compared["a"] == a) & (compared["b"] == b) & (compared["metric"] == metric)

    for a, b in beats:
        for which, text in ((few, "with few labels"), (everything, "with all labels")):
            claim = f"{METHOD_LABELS[a]} beats {METHOD_LABELS[b]} {text}"
            found.append(judge(claim, compared[of(a, b, "clean_top1") & which]))
    for a in dict.fromkeys(adverse["a"]):
        claim = f"{METHOD_LABELS[a]}'s neighbours are more adverse than VAT's at the same distance"
        found.append(judge(claim, adverse[adverse["a"] == a]))
    for a, b in dict.fromkeys(zip(compared["a"], compared["b"], strict=True)):
        if (a, b) in beats:
            continue
        claim = f"{METHOD_LABELS[a]}'s maps are steadier under noise than {METHOD_LABELS[b]}'s"
        found.append(judge(claim, compared[of(a, b, "similarity")]))
    return pd.DataFrame([asdict(verdict) for verdict in found])


def at_chance(results: pd.DataFrame, classes: int) -> str:
    """A sentence: which methods do no better than guessing, whose maps may agree about nothing.

    Args:
        results: of :func:`innt_lib.results.tables.per_run`, with a column ``labels``.
        classes: how many there are; up to three standard errors above their share counts as guessing.
    """
    guess, names = 1 / classes, []
    for (labels, method), group in results.groupby(["labels", "method"], sort=False):
        # Of one training: all see the same pictures.
        error = math.sqrt(guess * (1 - guess) / group["images"].mean())
        if group["clean_top1"].mean() / 100 <= guess + 3 * error:
            names.append(f"{METHOD_LABELS[method]} ({labels} labels)")
    if not names:
        return "Every method does better than guessing."
    return (
        f"No better than guessing, so that no verdict on the maps of these means anything: "
        f"{', '.join(names)}."
    )


def controls(
    experiment: Experiment,
    network: SplitNetwork,
    images: ImageSet,
    neighbors: Mapping[str, VAT],
    labels: int,
) -> dict[str, list[Run]]:
    """Trainings that leave out one part of LVAT, or give VAT what LVAT has, by what they are called.

    Args:
        experiment: whose other settings they share.
        network, images: on which VAT's strengths are matched.
        neighbors: of :func:`innt_lib.results.latent.neighbors_of`.
        labels: how many pictures keep theirs; 0 for all.
    """
    glow = neighbors["lvat_glow"]
    matches = {by: matched(network, images, glow, by) for by in ("distance", "kl")}
    changes: dict[str, dict[str, Any]] = {}
    for kind in ("vae", "glow"):
        method = f"lvat_{kind}"
        name = METHOD_LABELS[method]
        changes |= {
            f"{name}, epsilon 0": {"methods": method, f"epsilon_{kind}": 0.0},
            f"{name}, random r": {"methods": method, "direction": "random"},
            f"{name}, to the reconstruction": {"methods": method, "target": "reconstruction"},
        }
    changes |= {
        f"VAT at LVAT-Glow's distance ({matches['distance']:g})": {
            "methods": "vat", "epsilon_vat": matches["distance"],
        },
        f"VAT at LVAT-Glow's KL (distance {matches['kl']:g})": {
            "methods": "vat", "epsilon_vat": matches["kl"],
        },
    }  # fmt: skip
    return {name: experiment.grid(labels=labels, **change) for name, change in changes.items()}


def within(measure: str, low: float, high: float, trainings: int) -> tuple[float, float]:
    """An interval of "error" or "similarity" cut to what is possible; NaN of fewer than three trainings."""
    if trainings < FEWEST_SEEDS:
        return math.nan, math.nan
    least, most = POSSIBLE[measure]
    return max(least, low), min(most, high)


def summary(name: str, results: pd.DataFrame) -> dict[str, object]:
    """A row: test error in percent and map similarity under noise, with intervals over trainings.

    Args:
        name: of the variant.
        results: of :func:`innt_lib.results.tables.per_run`; trainings that collapsed are left out.
    """
    stand = standing(results)
    row: dict[str, object] = {"variant": name, "trainings": len(stand)}
    for column, values in (
        ("error", 100 - stand["clean_top1"]),
        ("similarity", stand["similarity"]),
    ):
        found = mean_interval(values.to_numpy())
        low, high = within(column, found.low, found.high, found.n)
        row |= {column: found.mean, f"{column}_low": low, f"{column}_high": high}
    return row


def matched(
    network: SplitNetwork,
    images: ImageSet,
    neighbor: VAT,
    by: Literal["distance", "kl"],
    seed: int = 0,
) -> float:
    """VAT's strength at which its neighbours are as far from pictures, or as adverse, as other ones.

    Rounded to two digits, so that it does not depend on the machine.

    Args:
        neighbor: the other one.
        by: its mean distance, or its mean KL, which is then looked for by halving, in 1/32 to 64.
    """
    goal = search(network, images, neighbor, seed=seed)[1].query("usable")[by].mean()
    if by == "distance":
        return float(f"{goal:.1e}")

    def falls_short(strength: float) -> bool:
        return search(network, images, VAT(strength), seed=seed)[1]["kl"].mean() < goal

    high = 1 / 16
    while falls_short(high) and high < 64:
        high *= 2
    low = high / 2
    for _ in range(6):
        middle = (low + high) / 2
        low, high = (middle, high) if falls_short(middle) else (low, middle)
    return float(f"{high:.1e}")
