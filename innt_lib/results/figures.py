"""Every figure of the series: tidy tables or images in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innt_lib.results.comparisons import beside_paper, comparison, variants
from innt_lib.results.curves import agreement, sweep, trade_off
from innt_lib.results.stats import mean_interval
from innt_lib.results.style import (
    CAM_LABELS,
    METHOD_LABELS,
    METRIC_LABELS,
    NOISE_LABELS,
    png,
    save,
    use_style,
)

__all__ = [
    "CAM_LABELS", "METHOD_LABELS", "METRIC_LABELS", "NOISE_LABELS", "agreement", "beside_paper", "comparison",
    "noise_calibration", "png", "save", "sweep", "trade_off", "training_curves", "use_style", "variants",
]  # fmt: skip


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
            ax.axvline(strength, color="#444444", lw=0.9, ls=(0, (3, 3)), zorder=1.5)
            there = part[part["strength"] == strength].groupby("network")["top1"].mean()
            text = [f"at {strength:g}", *(f"{n} {there[n]:.0f} %" for n in networks)]
            height = 0.98 - line * 0.09 * (len(networks) + 1.5)
            ax.annotate(
                "\n".join(text), (strength, height), xytext=(4, 0), textcoords="offset points",
                xycoords=("data", "axes fraction"), va="top", fontsize=7.5, color="#333333",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
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
