"""Figures and sentences of the robustness notebook: tables of pairs and of measures in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
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
        warm = heat[area[0]] / max(float(np.nanmax(heat)), 1e-12)
        panels += [
            Panel(first.image, caption=text),
            Panel(seen.pictures[0], seen.maps[0], caption=said if noise else ""),
            Panel(np.zeros((*area[0].shape, 3), np.uint8), warm, caption=rho, overlay=1.0),
        ]
    return panels


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


def _below(row: Any, name: str) -> float:
    return float(np.nan_to_num(getattr(row, name) - getattr(row, f"{name}_low")))


def _above(row: Any, name: str) -> float:
    return float(np.nan_to_num(getattr(row, f"{name}_high") - getattr(row, name)))


def orderings(measures: pd.DataFrame) -> list[str]:
    """The published orderings as sentences with a verdict, from intervals of RM.

    Args:
        measures: of :func:`innt_lib.results.robustness.robustness`, of one network, by ``cam``.
    """
    ranked = measures["rm"].dropna().sort_values(ascending=False)
    said = [
        f"by RM: {', '.join(f'{CAM_LABELS[name]} {value:.2f}' for name, value in ranked.items())}"
    ]
    if "gradcam++" in ranked:
        others = measures.loc[ranked.index.drop("gradcam++")]
        best = (measures.loc["gradcam++", "rm_low"] > others["rm_high"]).all()
        beaten = (measures.loc["gradcam++", "rm_high"] < others["rm_low"]).any()
        said.append(f"Grad-CAM++ is the most robust: {_verdict(best, beaten)}")
    least = [name for name in ("eigencam", "ablationcam") if name in ranked]
    if least:
        low, rest = measures.loc[least], measures.loc[ranked.index.drop(least)]
        holds = low["rm_high"].max() < rest["rm_low"].min()
        fails = (low["rm_low"].min() > rest["rm_high"]).any()
        who = " and ".join(CAM_LABELS[name] for name in least)
        said.append(f"{who} are the least robust: {_verdict(holds, fails)}")
    return said


def _verdict(holds: bool, fails: bool) -> str:
    return "holds here" if holds else "does not hold here" if fails else "undecided"
