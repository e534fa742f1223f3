"""Every figure of the series: tidy tables or images in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import matplotlib.ticker
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innt_lib.results.stats import mean_interval
from innt_lib.results.style import (
    METHOD_COLOURS,
    METHOD_LABELS,
    METRIC_LABELS,
    NOISE_LABELS,
    png,
    save,
    use_style,
)

__all__ = [
    "METHOD_LABELS", "METRIC_LABELS", "beside_paper", "comparison", "noise_calibration", "png", "save",
    "training_curves", "use_style", "variants",
]  # fmt: skip

# Between what a mean must lie; accuracies in percent, gaps in points.
_RANGE = {
    "ad": (0, 1), "ai": (0, 1), "aepe": (0, 1), "similarity": (-1, 1),
    "clean_top1": (0, 100), "noisy_top1": (0, 100),
    "gap_top1": (-100, 100), "gap_top5": (-100, 100),
}  # fmt: skip


# --- curves ------------------------------------------------------------------------------------------


def noise_calibration(curves: pd.DataFrame, chosen: dict[str, Sequence[float]]) -> Figure:
    """Figure 6: accuracy of plainly trained networks against the strength of each noise.

    Args:
        curves: ``noise`` (label of a panel), ``strength``, ``network``, ``seed``, ``top1`` (%).
        chosen: by noise, the strengths to mark and annotate.
    """
    noises = list(dict.fromkeys(curves["noise"]))
    figure, axes = plt.subplots(1, len(noises), figsize=(3.5 * len(noises), 3.0), sharey=True)
    networks = list(dict.fromkeys(curves["network"]))
    palette = dict(zip(networks, sns.color_palette("colorblind", len(networks)), strict=True))
    top = min(100, 1.5 * curves["top1"].max())  # room for the annotations
    for ax, noise in zip(np.atleast_1d(axes), noises, strict=True):
        part = curves[curves["noise"] == noise]
        for network in networks:
            table = _over_seeds(part[part["network"] == network], "strength", "top1")
            ax.plot(
                table.index,
                table["mean"],
                marker="o",
                ms=3.5,
                label=network,
                color=palette[network],
            )
            low, high = table["low"].clip(0, 100), table["high"].clip(0, 100)
            ax.fill_between(table.index, low, high, alpha=0.15, lw=0, color=palette[network])
        for line, strength in enumerate(chosen.get(noise, ())):
            ax.axvline(strength, color="#444444", lw=0.9, ls=(0, (3, 3)), zorder=0)
            there = part[part["strength"] == strength].groupby("network")["top1"].mean()
            text = [f"at {strength:g}", *(f"{n} {there[n]:.0f} %" for n in networks)]
            height = 0.98 - line * 0.09 * (len(networks) + 1.5)
            ax.annotate(
                "\n".join(text), (strength, height), xytext=(4, 0), textcoords="offset points",
                xycoords=("data", "axes fraction"), va="top", fontsize=7.5, color="#333333",
            )  # fmt: skip
        symbol = r"$\mu_G$" if noise.startswith("Gauss") else r"$\mu_N$"
        ax.set(title=noise, xlabel=f"noise strength {symbol}", ylim=(0, top))
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("top-1 accuracy (%)")
    first.legend(loc="center right")
    return figure


def training_curves(histories: pd.DataFrame, regularised: bool) -> Figure:
    """Losses, Reg_na and accuracies per epoch, a thin line a seed and the mean on top.

    Args:
        histories: the columns of :func:`innt_lib.learn.training.train` and ``seed``.
        regularised: whether Reg_na is part of the loss (else it is drawn dashed: measured only).
    """
    figure, (losses, reg, accuracy) = plt.subplots(1, 3, figsize=(9.6, 2.7))
    noisy = histories["noise"].notna().any()
    _seed_lines(losses, histories, "clean", "CE clean", "#1f5fa8")
    if noisy:
        _seed_lines(losses, histories, "noise", "CE noisy", "#d1701f")
        _seed_lines(reg, histories, "reg", "Reg_na", "#6a3d9a", ls="-" if regularised else "--")
        reg.set_ylim(bottom=0)
    else:
        reg.text(0.5, 0.5, "no noisy images\nin this method", ha="center", transform=reg.transAxes)
    for which, colour in (("clean", "#1f5fa8"), ("noisy", "#d1701f")):
        if histories[f"train_{which}"].notna().any():
            _seed_lines(
                accuracy, histories, f"train_{which}", f"train, {which}", colour, ls=":", factor=100
            )
        if histories[f"test_{which}"].notna().any():
            _seed_lines(
                accuracy, histories, f"test_{which}", f"held out, {which}", colour, factor=100
            )
    losses.set(title="cross-entropy", xlabel="epoch", ylim=(0, None))
    reg.set(title="Reg_na" + ("" if regularised else " (measured, not trained on)"), xlabel="epoch")
    accuracy.set(title="top-1 accuracy (%)", xlabel="epoch", ylim=(0, 100))
    losses.legend()
    accuracy.legend(fontsize=7.5)
    for ax in (losses, reg, accuracy):
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _seed_lines(
    ax: Axes,
    table: pd.DataFrame,
    column: str,
    label: str,
    colour: str,
    ls: str = "-",
    factor: float = 1,
) -> None:
    wide = table.pivot(index="epoch", columns="seed", values=column) * factor
    if wide.shape[1] > 1:
        ax.plot(wide, color=colour, lw=0.7, alpha=0.4, ls=ls)
    ax.plot(wide.mean(axis=1), color=colour, label=label, ls=ls)


def _over_seeds(table: pd.DataFrame, by: str, value: str) -> pd.DataFrame:
    rows = {}
    for key, group in table.groupby(by):
        interval = mean_interval(group[value])
        rows[key] = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return pd.DataFrame.from_dict(rows, orient="index")


# --- comparisons -------------------------------------------------------------------------------------


def comparison(results: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Methods side by side: a column a metric, a row a network; a small dot a seed, a bar the interval.

    Args:
        results: one row a run and noise: ``network``, ``method``, ``noise`` and the metrics.
        metrics: keys of ``METRIC_LABELS``.
    """
    networks = list(dict.fromkeys(results["network"]))
    methods = [m for m in METHOD_LABELS if m in set(results["method"])]
    noises = [n for n in NOISE_LABELS if n in set(results["noise"])]
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
    draw(list(np.clip([interval.low, interval.high], *_RANGE[metric])), place, "-", lw=1.6)
    draw([interval.mean], place, "o", ms=5)


def variants(results: pd.DataFrame, metrics: Sequence[str], reference: str) -> Figure:
    """Variants of a training, line by line: a column a metric; a small dot a seed, a bar the interval.

    Args:
        results: one row a run and noise: ``network``, ``method`` (the variant), ``noise`` and the
            metrics.
        metrics: keys of ``METRIC_LABELS``.
        reference: the variant whose mean is drawn as a line.
    """
    groups = list(results.groupby(["network", "noise"], sort=False))
    names = list(dict.fromkeys(results["method"]))
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
    colours = {"gaussian": "#1f5fa8", "neighborhood": "#d1701f"}
    for ax, metric in zip(axes.flat, metrics, strict=False):
        ours = measured[measured["metric"] == metric]
        theirs = published[published["metric"] == metric]
        sources = list(dict.fromkeys(theirs["source"]))
        labels = [f"paper, {s}" for s in sources] + [
            f"here, {n}" for n in dict.fromkeys(ours["network"])
        ]
        for row in theirs.itertuples():
            y = sources.index(row.source) + _nudge(row.noise)
            ax.plot(row.difference, y, "D", ms=4, mfc="white", color=colours[row.noise])
        for row in ours.itertuples():
            y = labels.index(f"here, {row.network}") + _nudge(row.noise)
            ax.plot([row.low, row.high], [y, y], color=colours[row.noise], lw=1.6)
            ax.plot(row.difference, y, "o", ms=5, color=colours[row.noise])
        ax.axvline(0, color="#444444", lw=0.9)
        ax.set_yticks(range(len(labels)), labels)
        ax.set(title=METRIC_LABELS[metric], xlabel="INNT - NT", ylim=(len(labels) - 0.4, -0.6))
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
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


def _nudge(noise: str) -> float:
    return -0.14 if noise == "gaussian" else 0.14
