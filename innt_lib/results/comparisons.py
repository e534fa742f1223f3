"""Figures that set methods, variants and the paper side by side: tidy tables in, a figure out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innt_lib.learn.zoo import TIMM
from innt_lib.results.stats import mean_interval
from innt_lib.results.style import (
    METHOD_COLOURS,
    METHOD_LABELS,
    METRIC_LABELS,
    NOISE_LABELS,
    in_order,
)
from innt_lib.results.tables import standing

_NOISE_COLOURS = ("#1f5fa8", "#d1701f", "#2e8b57", "#6a3d9a", "#8c8c8c", "#b3261e")
# Between what a mean must lie; accuracies in percent, gaps in points.
_RANGE = {
    "ad": (0, 1), "ai": (0, 1), "aepe": (0, 1), "similarity": (-1, 1),
    "clean_top1": (0, 100), "noisy_top1": (0, 100),
    "gap_top1": (-100, 100), "gap_top5": (-100, 100), "bg_gap": (-100, 100),
}  # fmt: skip


def comparison(results: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Methods side by side: a column a metric, a row a network; a small dot a seed, a bar the interval.

    Trainings that collapsed are left out.

    Args:
        results: one row a run and noise: ``network``, ``method``, ``noise`` and the metrics.
        metrics: keys of ``METRIC_LABELS``.
    """
    networks = list(dict.fromkeys(results["network"]))
    methods = in_order(results["method"], METHOD_LABELS)
    noises = in_order(results["noise"], NOISE_LABELS)
    results = standing(results)
    figure, axes = plt.subplots(
        len(networks), len(metrics), squeeze=False, sharey="col",
        figsize=(0.6 + 2.35 * len(metrics), 0.5 + 2.15 * len(networks)),
    )  # fmt: skip
    for row, network in zip(axes, networks, strict=True):
        for ax, metric in zip(row, metrics, strict=True):
            _dots(ax, results[results["network"] == network], metric, methods, noises)
        row[0].set_ylabel(network)
    for ax, metric in zip(axes[0], metrics, strict=True):
        ax.set_title(METRIC_LABELS[metric])
    handles = [
        mpl.lines.Line2D([], [], marker="o", ls="", color=METHOD_COLOURS[m], label=METHOD_LABELS[m])
        for m in methods
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(methods))
    return figure


def _dots(ax: Axes, part: pd.DataFrame, metric: str, methods: list[str], noises: list[str]) -> None:
    apart = min(0.24, 0.8 / len(methods))
    for n, noise in enumerate(noises):
        for m, method in enumerate(methods):
            chosen = (part["noise"] == noise) & (part["method"] == method)
            values = part.loc[chosen, metric].dropna()
            x = n + apart * (m - (len(methods) - 1) / 2)
            _over_runs(ax, values, metric, x, apart / 4, METHOD_COLOURS[method], upright=True)
    ax.set_xticks(range(len(noises)), [NOISE_LABELS.get(n, n) for n in noises])
    ax.set_xlim(-0.6, len(noises) - 0.4)
    ax.grid(axis="x", visible=False)


def _over_runs(
    ax: Axes,
    values: pd.Series,
    metric: str,
    place: float,
    aside: float,
    colour: str,
    *,
    upright: bool,
) -> None:
    """Mean and interval (cut where the metric ends), up or along at a place; aside, a dot a training."""
    interval = mean_interval(values)

    def draw(points: Sequence[float], where: float, style: str, **options: Any) -> None:
        line = (points, [where] * len(points))
        ax.plot(*(reversed(line) if upright else line), style, color=colour, **options)

    draw(list(values), place + aside, "o", ms=2.2, alpha=0.7, mew=0)
    limits = _RANGE.get(metric, (0, 100))
    draw(list(np.clip([interval.low, interval.high], *limits)), place, "-", lw=1.6)
    draw([interval.mean], place, "o", ms=5)


def variants(results: pd.DataFrame, metrics: Sequence[str], reference: str) -> Figure:
    """Variants of a training, line by line: a column a metric; a small dot a seed, a bar the interval.

    Trainings that collapsed are left out; a variant of which none stands is said to have collapsed.

    Args:
        results: one row a run and noise: ``network``, ``method`` (the variant), ``noise`` and the
            metrics.
        metrics: keys of ``METRIC_LABELS``.
        reference: the variant whose mean is drawn as a line.
    """
    groups = list(results.groupby(["network", "noise"], sort=False))
    names = list(dict.fromkeys(results["method"]))
    groups = [(key, standing(part)) for key, part in groups]
    figure, axes = plt.subplots(
        len(groups), len(metrics), squeeze=False, sharey=True, sharex="col",
        figsize=(1.4 + 1.9 * len(metrics), 0.7 + (0.45 + 0.27 * len(names)) * len(groups)),
    )  # fmt: skip
    for line, ((network, noise), part) in zip(axes, groups, strict=True):
        for ax, metric in zip(line, metrics, strict=True):
            ax.axvline(
                part.loc[part["method"] == reference, metric].mean(), color="#444444", lw=0.8
            )
            for y, name in enumerate(names):
                values = part.loc[part["method"] == name, metric].dropna()
                if values.empty:
                    if metric == metrics[0] and name not in set(part["method"]):
                        at = {"x": 0.04, "y": y, "transform": ax.get_yaxis_transform()}
                        ax.text(**at, s="collapsed", va="center", fontsize=7, color="#b3261e")
                    continue
                colour = "#8c8c8c" if name == reference else "#1f5fa8"
                _over_runs(ax, values, metric, y, 0.25, colour, upright=False)
            ax.grid(axis="y", visible=False)
            ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
        line[0].set_yticks(range(len(names)), names)
        line[0].set_ylim(len(names) - 0.4, -0.6)
        line[0].set_ylabel(f"{network}\n{NOISE_LABELS.get(noise, noise)}")
    for ax, metric in zip(axes[0], metrics, strict=True):
        ax.set_title(METRIC_LABELS[metric], fontsize=9)
    return figure


def beside_paper(measured: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """INNT - NT, metric by metric: the paper's cells and the measured ones with their intervals.

    Args:
        measured: of :func:`innt_lib.results.claims.compare`; without rows, the paper's cells are drawn alone.
        published: of :func:`innt_lib.results.tables.published_differences`.
    """
    metrics = list(dict.fromkeys(measured["metric"] if len(measured) else published["metric"]))
    metrics = [metric for metric in metrics if metric in METRIC_LABELS]
    columns = 3
    lines = -(-len(metrics) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(9.6, 0.4 + 2.2 * lines), squeeze=False)
    noises = in_order(pd.concat([published["noise"], measured["noise"]]), NOISE_LABELS)
    colours = dict(zip(noises, itertools.cycle(_NOISE_COLOURS), strict=False))
    for ax, metric in zip(axes.flat, metrics, strict=False):
        ours = measured[measured["metric"] == metric]
        theirs = published[published["metric"] == metric]
        sources = list(dict.fromkeys(theirs["source"]))
        architectures = list(dict.fromkeys(ours["network"]))
        labels = [f"paper,\n{s}" for s in sources]
        labels += [f"here,\n{name.removeprefix(TIMM)}" for name in architectures]
        for row in theirs.itertuples():
            y = sources.index(row.source) + _nudge(row.noise, noises)
            ax.plot(row.difference, y, "D", ms=4, mfc="white", color=colours[row.noise])
        for row in ours.itertuples():
            y = len(sources) + architectures.index(row.network) + _nudge(row.noise, noises)
            ax.plot([row.low, row.high], [y, y], color=colours[row.noise], lw=1.6)
            ax.plot(row.difference, y, "o", ms=5, color=colours[row.noise])
        ax.axvline(0, color="#444444", lw=0.9)
        ax.set_yticks(range(len(labels)), labels)
        ax.set(title=METRIC_LABELS[metric], xlabel="INNT - NT", ylim=(len(labels) - 0.4, -0.6))
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(3))
        ax.grid(axis="y", visible=False)
    for ax in axes.flat[len(metrics) :]:
        ax.set_axis_off()
    handles = [
        mpl.lines.Line2D(
            [], [], marker="s", ls="", color=colour, label=NOISE_LABELS.get(noise, noise)
        )
        for noise, colour in colours.items()
    ]
    handles += [
        mpl.lines.Line2D(
            [], [], marker="D", ls="", mfc="white", color="#444444", label="published"
        ),
        mpl.lines.Line2D([], [], marker="o", color="#444444", label="measured, 95 % over seeds"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _nudge(noise: str, noises: list[str]) -> float:
    """Aside from the middle of a line, each noise a little further down."""
    return 0.28 * (noises.index(noise) - (len(noises) - 1) / 2) * 2 / max(2, len(noises))
