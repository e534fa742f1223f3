"""Figures of the robustness notebook: tables of pairs and of measures in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from skimage.segmentation import find_boundaries

from innt_lib.data import ImageSet
from innt_lib.explain.regions import region_heat
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors import Neighbor
from innt_lib.results.gallery import Panel, look
from innt_lib.results.style import CAM_LABELS, METHOD_COLOURS, METHOD_LABELS


def pair(
    network: SplitNetwork,
    images: ImageSet,
    areas: np.ndarray,
    neighbors: Mapping[tuple[str, float], Neighbor],
    row: pd.Series,
) -> list[Panel | None]:
    """Six panels of one pair: picture with regions, map, heat of the regions; the same of the copy.

    The three hottest regions, which decide the ranking, bear their ranks.

    Args:
        network, images, areas, neighbors: as for :func:`innt_lib.results.pairs.pairs`.
        row: of its table.
    """
    place, kind = int(row["picture"]), (row["corruption"], row["strength"])
    area = areas[place : place + 1]
    panels: list[Panel | None] = []
    for noise in (None, neighbors[kind]):
        seen = look(
            network, images, noise, chosen=[place], cam=row["cam"], target="predicted",
            seed=int(row["draw"]),
        )  # fmt: skip
        heat = region_heat(torch.from_numpy(seen.maps), area)[0].numpy()
        said = images.classes[seen.predicted[0]].split(".")[-1].replace("_", " ")
        first = seen.picture(0) if noise else Panel(_outlined(seen.pictures[0], area[0]))
        text = f"{kind[0]} {kind[1]:g}" if noise else said
        rho = f"rho = {row['rho']:.2f}" if noise else ""
        black = np.zeros((*area[0].shape, 3), np.uint8)
        warm = heat[area[0]] / max(float(np.nanmax(heat)), 1e-12)
        panels += [
            Panel(first.image, caption=text),
            Panel(seen.pictures[0], seen.maps[0], caption=said if noise else ""),
            Panel(black, warm, caption=rho, overlay=1.0, marks=_ranks(heat, area[0])),
        ]
    return panels


def _ranks(heat: np.ndarray, area: np.ndarray) -> tuple[tuple[float, float, str], ...]:
    """Where to write 1, 2 and 3: at the middle of the hottest regions; nowhere on a flat map."""
    hottest = np.argsort(-np.nan_to_num(heat, nan=-1), kind="stable")[:3]
    marks = []
    for rank, region in enumerate(hottest if np.nanmin(heat) < np.nanmax(heat) else ()):
        y, x = np.nonzero(area == region)
        middle = np.argmin((y - y.mean()) ** 2 + (x - x.mean()) ** 2)  # a pixel of its own
        marks.append((float(x[middle]), float(y[middle]), str(rank + 1)))
    return tuple(marks)


def _outlined(picture: np.ndarray, area: np.ndarray) -> np.ndarray:
    """A picture at the size of its regions, their borders white."""
    rows = np.arange(area.shape[0]) * picture.shape[0] // area.shape[0]
    columns = np.arange(area.shape[1]) * picture.shape[1] // area.shape[1]
    large = picture[rows][:, columns].copy()
    large[find_boundaries(area)] = 255
    return large


def curves(pairs: pd.DataFrame) -> Figure:
    """Map similarity against strength: a panel a corruption, a curve a CAM, a band over pictures.

    Args:
        pairs: of :func:`innt_lib.results.pairs.pairs`, of one network.
    """
    kinds = list(dict.fromkeys(pairs["corruption"]))
    columns = min(3, len(kinds))
    lines = -(-len(kinds) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.1 * columns, 0.5 + 2.4 * lines), sharey=True, squeeze=False
    )
    names = list(dict.fromkeys(pairs["cam"]))
    colours = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    for ax, kind in zip(axes.flat, kinds, strict=False):
        for name in names:
            part = pairs[(pairs["corruption"] == kind) & (pairs["cam"] == name)]
            per_picture = part.groupby(["strength", "picture"])["similarity"].mean()
            found = per_picture.groupby("strength").agg(["mean", "sem"])
            ax.plot(
                found.index,
                found["mean"],
                marker="o",
                ms=3.5,
                lw=1.5,
                color=colours[name],
                label=CAM_LABELS[name],
            )
            low, high = (found["mean"] + sign * 1.96 * found["sem"] for sign in (-1, 1))
            ax.fill_between(found.index, low, high, color=colours[name], alpha=0.12, lw=0)
        ax.set(
            title=kind.replace("_", " "), xlabel="strength", xticks=sorted(set(pairs["strength"]))
        )
    for ax in axes.flat[len(kinds) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("map similarity")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)))
    return figure


def methods(measures: pd.DataFrame) -> Figure:
    """Consistency against responsiveness, a point a method with its intervals, a panel a network.

    Args:
        measures: of :func:`innt_lib.results.robustness.robustness`, by network and method.
    """
    groups = list(measures.groupby("network", sort=False))
    figure, axes = plt.subplots(1, len(groups), figsize=(3.6 * len(groups), 3.2), squeeze=False)
    for ax, (network, group) in zip(axes[0], groups, strict=True):
        for row in group.itertuples():
            ax.errorbar(
                row.responsiveness, row.consistency,
                xerr=[[_below(row, "responsiveness")], [_above(row, "responsiveness")]],
                yerr=[[_below(row, "consistency")], [_above(row, "consistency")]],
                fmt="o", color=METHOD_COLOURS[row.method], label=METHOD_LABELS[row.method],
            )  # fmt: skip
        ax.set(
            title=network, xlabel="responsiveness", ylabel="consistency", xlim=(0, 1), ylim=(0, 1)
        )
        ax.legend()
    return figure


def by_corruption(measures: pd.DataFrame) -> Figure:
    """Consistency, responsiveness and RM of every CAM under every corruption, as coloured tables.

    Args:
        measures: of :func:`innt_lib.results.robustness.robustness`, of one network, by ``cam`` and
            ``corruption``. What is not known is left white.
    """
    kinds, cams = measures["corruption"].nunique(), measures["cam"].nunique()
    figure, axes = plt.subplots(
        3, 1, figsize=(2.2 + 0.62 * kinds, 0.9 + 3 * (0.35 + 0.27 * cams)), sharex=True
    )
    for ax, name in zip(axes, ("consistency", "responsiveness", "rm"), strict=True):
        table = measures.pivot(index="cam", columns="corruption", values=name)
        table = table.loc[measures["cam"].unique(), measures["corruption"].unique()]
        table = table.rename(index=CAM_LABELS, columns=lambda kind: kind.replace("_", "\n"))
        sns.heatmap(
            table, ax=ax, vmin=0, vmax=1, cmap="viridis", annot=True, fmt=".2f", linewidths=0.5,
            annot_kws={"fontsize": 7.5}, cbar=False,
        )  # fmt: skip
        ax.set(title={"rm": "RM"}.get(name, name), xlabel="", ylabel="")
        ax.tick_params(axis="x", rotation=0, length=0)
        ax.tick_params(axis="y", rotation=0, length=0)
    return figure


def differences(comparisons: pd.DataFrame) -> Figure:
    """What a training changes, with 95 % intervals over pictures: a panel a measure, a dot a network.

    Args:
        comparisons: of :func:`innt_lib.results.robustness_claims.trained`.
    """
    known = comparisons.dropna(subset="difference")
    kinds = list(dict.fromkeys(zip(known["a"], known["b"], strict=True)))
    networks = list(dict.fromkeys(known["network"]))
    colours = dict(zip(networks, sns.color_palette("colorblind", len(networks)), strict=True))
    lines = [
        (pair, network, copies)
        for pair in kinds
        for network in networks
        for copies in ("own", "shared")
    ]
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 0.9 + 0.24 * len(lines)), sharey=True)
    for ax, measure in zip(axes, ("consistency", "responsiveness"), strict=True):
        ax.axvline(0, color="#444444", lw=0.9)
        for row in known[known["measure"] == measure].itertuples():
            line = lines.index(((row.a, row.b), row.network, row.copies))
            ax.plot([row.low, row.high], [line, line], color=colours[row.network], lw=1.5)
            ax.plot(
                row.difference, line, "o", ms=5, color=colours[row.network],
                mfc="white" if row.copies == "own" else colours[row.network],
            )  # fmt: skip
        ax.set(title=measure, xlabel="difference")
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    words = {"own": "own pairs", "shared": "same copies"}
    names = [
        f"{METHOD_LABELS[a]} - {METHOD_LABELS[b]}, {network}, {words[copies]}"
        for (a, b), network, copies in lines
    ]
    axes[0].set(yticks=range(len(lines)), yticklabels=names, ylim=(max(1, len(lines)) - 0.5, -0.5))
    return figure


def _below(row: Any, name: str) -> float:
    return float(np.nan_to_num(getattr(row, name) - getattr(row, f"{name}_low")))


def _above(row: Any, name: str) -> float:
    return float(np.nan_to_num(getattr(row, f"{name}_high") - getattr(row, name)))
