"""Figures and sentences of the notebook on explanation consistency: pictures and tidy tables in."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innt_lib.data import ImageSet
from innt_lib.learn.consistency import Scores, foreground_of, probe
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.weighing import Weighing
from innt_lib.results.arms import ARM_COLOURS, ARM_LABELS
from innt_lib.results.gallery import Panel, displayable, panels
from innt_lib.results.stats import mean_interval
from innt_lib.results.style import METRIC_LABELS
from innt_lib.results.tables import standing
from innt_lib.system.tensors import standardise

STEPS = ("1 picture", "2 its map", "3 background", "4 attacked", "5 map again", "6 the difference")


def strip(
    network: SplitNetwork, images: ImageSet, weighing: Weighing, row_labels: Sequence[str] = ()
) -> Figure:
    """The six steps on a few pictures, a row each: what the attack may touch is step 3, in colour."""
    device = next(network.parameters()).device
    pixels = standardise(images.tensor().to(device))
    foreground = foreground_of(images, weighing)
    inside = None if foreground is None else foreground.to(device)
    labels = torch.from_numpy(images.labels).to(device)
    found = probe(network, pixels, labels, weighing, inside)
    attacked = displayable(found.attacked)
    where = found.where[:, 0, :, :, None].cpu().numpy()
    maps, again = found.maps.cpu().numpy(), found.attacked_maps.cpu().numpy()
    rows: list[list[Panel | None]] = []
    for i, picture in enumerate(images.images):
        flipped, e = bool(found.flipped[i]), float(found.consistency[i])
        spared = (picture * where[i] + 255 * (1 - where[i])).astype(np.uint8)
        difference = np.abs(maps[i] - again[i])
        rows.append([
            Panel(picture),
            Panel(picture, maps[i]),
            Panel(spared),
            Panel(attacked[i], caption="prediction flips" if flipped else "prediction stands",
                  correct=not flipped),
            Panel(attacked[i], again[i], caption=f"D = {float(found.distance[i]):.2f}"),
            Panel(picture, difference, caption=f"E = {e:.2f}, v = {1 - e:.2f}", overlay=1.0),
        ])  # fmt: skip
    return panels(rows, STEPS, row_labels, side=1.4)


def weighty(
    images: ImageSet, scores: Scores, conflicting: np.ndarray | None, each: int = 8
) -> Figure:
    """The pictures with the largest and with the smallest v.

    Args:
        images: those that were scored.
        scores: theirs.
        conflicting: ``(N,)`` bool: whose v is written in red; None: all in grey.
        each: so many of either.
    """
    v = scores.v.cpu().numpy()
    rows = [
        [
            Panel(
                images.images[i], caption=f"v = {v[i]:.2f}",
                correct=None if conflicting is None else not conflicting[i],
            )
            for i in chosen
        ]
        for chosen in (_largest(v, each), _largest(-v, each))
    ]  # fmt: skip
    return panels(rows, row_labels=["heaviest", "lightest"], side=1.05)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Where the largest are; of equal ones (every flip has v = 1) some from all over the set."""
    least = np.sort(values)[-count:][0]
    above, equal = np.flatnonzero(values > least), np.flatnonzero(values == least)
    spread = np.linspace(0, len(equal) - 1, min(count, len(values)) - len(above)).astype(int)
    return np.concatenate([above[np.argsort(-values[above], kind="stable")], equal[spread]])


def by_set(results: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """A panel a measure, a line an arm over the sets (biases), dots of single trainings, 95 % intervals.

    Args:
        results: of :func:`innt_lib.results.probing.per_run`; collapsed trainings are left out.
        metrics: its columns.
    """
    results = standing(results)
    sets, arms = (list(dict.fromkeys(results[c])) for c in ("noise", "method"))
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(2.5 * len(metrics) + 0.4, 3.3), squeeze=False
    )
    for ax, metric in zip(axes[0], metrics, strict=True):
        for place, arm in enumerate(arms):
            aside = 0.5 * (place - (len(arms) - 1) / 2) / max(1, len(arms))
            part = results[results["method"] == arm]
            values = [part.loc[part["noise"] == s, metric] for s in sets]
            _line(ax, values, arm, aside, -100 if metric == "bg_gap" else 0)
        ax.set_xticks(range(len(sets)), [s.removeprefix("bias ") for s in sets])
        ax.set(title=METRIC_LABELS[metric], xlim=(-0.5, len(sets) - 0.5))
        if sets[0].startswith("bias "):
            ax.set_xlabel("bias of the training pictures")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(arms)))
    return figure


def _line(ax: Axes, values: Sequence[pd.Series], arm: str, aside: float, least: float) -> None:
    colour = ARM_COLOURS[arm]
    found = [mean_interval(v.dropna()) for v in values]
    x = np.arange(len(values)) + aside
    ax.plot(x, [i.mean for i in found], "-o", ms=3.5, lw=1.1, color=colour, label=ARM_LABELS[arm])
    for place, interval, single in zip(x, found, values, strict=True):
        ends = np.clip([interval.low, interval.high], least, 100)
        ax.plot([place] * 2, ends, "-", lw=1, color=colour, alpha=0.6)
        ax.plot([place] * len(single), single, ".", ms=2.5, color=colour, alpha=0.6)


def under_attack(results: pd.DataFrame, attacks: Sequence[str]) -> Figure:
    """Accuracy against the radius of the attack: a panel a kind, a line an arm, dots single trainings.

    Args:
        results: of :func:`innt_lib.results.probing.per_run`, of one set.
        attacks: columns ``"<kind> <radius>"``.
    """
    results = standing(results)
    kinds = list(dict.fromkeys(name.split()[0] for name in attacks))
    figure, axes = plt.subplots(
        1, len(kinds), figsize=(3.6 * len(kinds), 3.1), squeeze=False, sharey=True
    )
    for ax, kind in zip(axes[0], kinds, strict=True):
        columns = ["clean_top1", *(name for name in attacks if name.split()[0] == kind)]
        radii = [0.0, *(float(name.split()[1]) for name in columns[1:])]
        for arm, part in results.groupby("method", sort=False):
            colour = ARM_COLOURS[str(arm)]
            ax.plot(radii, part[columns].T, ".", ms=3, color=colour, alpha=0.5)
            ax.plot(radii, part[columns].mean(), color=colour, label=ARM_LABELS[str(arm)])
        ax.set(title=kind.upper(), xlabel="radius (1/255)", ylim=(0, 100), xticks=radii)
    axes[0, 0].set_ylabel("top-1 accuracy (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def weights_over_epochs(histories: pd.DataFrame) -> Figure:
    """What was weighed, epoch by epoch, mean over trainings: a line an arm.

    Args:
        histories: of :func:`innt_lib.results.arms.histories`, of one set.
    """
    shown = {
        "flip_rate": "predictions flipped", "distance": "maps apart (mean D)", "v": "weight (mean v)",
        "effective": "effective share of pictures",
    }  # fmt: skip
    figure, axes = plt.subplots(1, len(shown), figsize=(2.5 * len(shown), 3.2))
    for ax, (column, title) in zip(axes, shown.items(), strict=True):
        for arm, part in histories.groupby("arm", sort=False):
            means = part.groupby("epoch")[column].mean().dropna()
            if len(means):
                style = "--o" if "+" in str(arm) else "-o"  # with noise
                ax.plot(means, style, ms=2.5, color=ARM_COLOURS[arm], label=ARM_LABELS[arm])
        ax.set(title=title, xlabel="epoch", ylim=(0, 1.02 if column == "v" else None))
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[-1].axhline(0.1, color="#444444", lw=0.8, ls=(0, (3, 3)))
    axes[-1].annotate("collapse", (0, 0.1), (2, -9), xycoords=("axes fraction", "data"),
                      textcoords="offset points", fontsize=7.5)  # fmt: skip
    axes[-1].set_ylim(0, 1.02)
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6)
    return figure


def collapses(histories: pd.DataFrame, least: float = 0.1) -> str:
    """A sentence: in how many trainings the weights came to rest on less than a tenth of the pictures."""
    lowest = histories.groupby(["arm", "set", "seed"], sort=False)["effective"].min()
    fallen = lowest[lowest < least]
    if fallen.empty:
        return (
            f"In none of {len(lowest)} weighed trainings did the weights collapse: the effective share "
            f"of the pictures was never below {100 * lowest.min():.0f} %."
        )
    counts = fallen.groupby("arm", sort=False).size()
    said = ", ".join(f"{count} of {ARM_LABELS[arm]}" for arm, count in counts.items())
    return (
        f"The weights COLLAPSED (effective share below 10 %) in {len(fallen)} of {len(lowest)} weighed "
        f"trainings: {said}."
    )
