"""Curves: what a setting changes, and what is gained for what along a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from innt_lib.results.style import METHOD_COLOURS, METHOD_LABELS, METRIC_LABELS
from innt_lib.results.tables import standing


def sweep(
    results: pd.DataFrame,
    values: Mapping[str, float],
    metrics: Sequence[str],
    setting: str,
    floors: Mapping[str, float] | None = None,
) -> Figure:
    """What a setting does: a panel a metric, the setting on a logarithmic axis, a dot a training.

    Trainings that collapsed are crosses at their values and do not count in the line of means.

    Args:
        results: one row a run: ``method`` (the variant), ``collapsed`` and the metrics.
        values: the setting of each variant; one of value 0 is drawn as a dashed line.
        metrics: keys of ``METRIC_LABELS``.
        setting: what the axis is called.
        floors: of some metrics, the value that is one standard error below the best: a dotted line.
    """
    figure, axes = plt.subplots(1, len(metrics), figsize=(2.5 * len(metrics), 2.5), squeeze=False)
    table = results.assign(value=results["method"].map(dict(values)))
    stand, fallen = standing(table), table[table["collapsed"] > 0]
    above = table.loc[table["value"] > 0, "value"]
    # Of each decade, as many labels as have room.
    labelled = (1, 3) if above.max() < 30 * above.min() else (1,)
    for ax, metric in zip(axes[0], metrics, strict=True):
        without = stand.loc[stand["value"] == 0, metric].mean()
        if np.isfinite(without):
            ax.axhline(without, color="#444444", lw=0.9, ls=(0, (4, 3)), label=f"{setting} = 0")
        if floors and metric in floors:
            ax.axhline(floors[metric], color="#b3261e", lw=0.9, ls=":", label="best - 1 s.e.")
        shown = stand[stand["value"] > 0]
        ax.plot(shown["value"], shown[metric], "o", ms=3, color="#1f5fa8", alpha=0.6)
        mean = shown.groupby("value")[metric].mean()
        ax.plot(mean.index, mean, color="#1f5fa8")
        if len(fallen):
            ax.plot(fallen["value"], fallen[metric], "x", color="#b3261e", label="collapsed")
        ax.set(title=METRIC_LABELS[metric], xlabel=setting, xscale="log")
        ax.xaxis.set_major_locator(LogLocator(subs=labelled))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=7.5)
    return figure


def trade_off(histories: pd.DataFrame) -> Figure:
    """What agreement of the maps costs: accuracy on noisy pictures against map similarity, epoch by epoch.

    A curve a method: means over its trainings after each epoch, from the first (small dot) to the
    last (large dot, with a cross of the extremes over trainings).

    Args:
        histories: ``method``, ``seed``, ``epoch``, ``test_clean``, ``test_noisy``, ``test_similarity``, the
            last three as of :func:`innt_lib.learn.training.train`; without collapsed trainings.
    """
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.0), sharey=True)
    for ax, which in zip(axes, ("clean", "noisy"), strict=True):
        for method, part in histories.groupby("method", sort=False):
            colour = METHOD_COLOURS[str(method)]
            columns = [f"test_{which}", "test_similarity"]
            mean = part.groupby("epoch")[columns].mean()
            label = METHOD_LABELS[str(method)]
            ax.plot(100 * mean[columns[0]], mean[columns[1]], color=colour, label=label, lw=1.2)
            ax.plot(
                100 * mean[columns[0]].iloc[0], mean[columns[1]].iloc[0], "o", ms=2.5, color=colour
            )
            last = part[part["epoch"] == part["epoch"].max()]
            x, y = 100 * last[columns[0]], last[columns[1]]
            ax.plot(x.mean(), y.mean(), "o", ms=6, color=colour)
            ax.plot([x.min(), x.max()], [y.mean()] * 2, color=colour, lw=2, alpha=0.5)
            ax.plot([x.mean()] * 2, [y.min(), y.max()], color=colour, lw=2, alpha=0.5)
        ax.set_xlabel(f"top-1 on {which} pictures (%)")
    axes[0].set_ylabel("map similarity")
    axes[0].legend()
    return figure


def agreement(results: pd.DataFrame, families: Mapping[str, Sequence[str]]) -> Figure:
    """What agreement of the maps costs, setting by setting: accuracy against map similarity.

    A curve a family through the means of its variants, in their order, a dot each, the last a large one.
    Trainings that collapsed are left out.

    Args:
        results: one row a training: ``method`` (the variant), ``clean_top1``, ``noisy_top1``,
            ``similarity``, ``collapsed``.
        families: the variants of each, e.g. with growing tau.
    """
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.0), sharey=True)
    means = standing(results).groupby("method")[["clean_top1", "noisy_top1", "similarity"]].mean()
    for ax, which in zip(axes, ("clean", "noisy"), strict=True):
        for name, variants in families.items():
            part = means.reindex(variants).dropna()
            (line,) = ax.plot(part[f"{which}_top1"], part["similarity"], lw=1.2)
            line.set_label(name if len(part) else f"{name} (collapsed)")
            sizes = [30.0 if variant == variants[-1] else 8.0 for variant in part.index]
            ax.scatter(part[f"{which}_top1"], part["similarity"], sizes, color=line.get_color())
        ax.set_xlabel(f"top-1 on {which} pictures (%)")
    axes[0].set_ylabel("map similarity")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def at_equal_accuracy(histories: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """How alike the maps of ``b`` were when it first was as accurate on noisy pictures as ``a`` in the end.

    Args:
        histories: as for :func:`trade_off`, of one network and noise.
        a, b: methods.

    Returns:
        A row a seed: ``seed``; ``accuracy`` of a in the end, in [0, 1]; ``similarity_a`` there; ``epoch`` of
        b and ``similarity_b`` then, both NaN where b never was as accurate.
    """
    rows = []
    for seed, part in histories.groupby("seed"):
        ours, other = (part[part["method"] == name].sort_values("epoch") for name in (a, b))
        if ours.empty or other.empty:
            continue
        last = ours.iloc[-1]
        reached = other[other["test_noisy"] >= last["test_noisy"]]
        first = (np.nan, np.nan)
        if len(reached):
            first = (reached["epoch"].iloc[0], reached["test_similarity"].iloc[0])
        rows.append((seed, last["test_noisy"], last["test_similarity"], *first))
    return pd.DataFrame(rows, columns=["seed", "accuracy", "similarity_a", "epoch", "similarity_b"])
