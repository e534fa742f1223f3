"""Figures of notebook 11: every training in every neighbourhood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from innt_lib.results.claims import LEVEL
from innt_lib.results.style import METHOD_COLOURS, METHOD_LABELS, NOISE_LABELS

COLOURS = {label: METHOD_COLOURS[method] for method, label in METHOD_LABELS.items()}
_PLACES = {"none": "the picture", **NOISE_LABELS}
MARKERS = {"": "D", "Gaussian": "o", "neighborhood": "s", "FGSM": "^", "PGD": "v"}  # of the noise


def everywhere(table: pd.DataFrame, measures: Sequence[str]) -> Figure:
    """A heat-mapped table a measure: a row a training, a column a neighbourhood, a number a cell.

    Grey: no flipped pair, or none kept.

    Args:
        table: of :func:`innt_lib.results.neighborhoods.cells`.
        measures: of ``neighborhoods.MEASURES``.
    """
    names = list(dict.fromkeys(table["training"]))
    places = [place for place in dict.fromkeys(table["neighborhood"]) if place != "none"]
    figure, axes = plt.subplots(
        len(measures), 1, squeeze=False,
        figsize=(2.2 + 0.72 * (len(places) + 1), len(measures) * (0.9 + 0.26 * len(names))),
    )  # fmt: skip
    shades = sns.light_palette("#77a9dc", as_cmap=True)  # for dark digits
    for ax, measure in zip(axes[:, 0], measures, strict=True):
        part = table[table["measure"] == measure]
        wide = part.pivot(index="training", columns="neighborhood", values="mean").reindex(names)
        wide = wide.reindex(columns=["none", *places] if measure == "accuracy" else places)
        percent = measure == "accuracy"
        wide = 100 * wide if percent else wide
        text = wide.map(("{:.0f}" if percent else "{:.2f}").format).where(wide.notna(), "")
        _cells(ax, wide, text, shades, (0, 100 if percent else 1))
        ax.set_title(f"{measure} (%)" if percent else measure)
    return figure


def differences(table: pd.DataFrame) -> Figure:
    """Who explains the neighbours more alike: a row a pair of trainings, a column a neighbourhood.

    Blue: the first of the two. A dagger: p < 0.05 over pictures; a double one: over trainings too.

    Args:
        table: of :func:`innt_lib.results.neighborhoods.alike`.
    """
    table = table.assign(pair=table["a"] + " - " + table["b"])
    index = {"index": "pair", "columns": "neighborhood"}
    order = {"index": table["pair"].unique(), "columns": table["neighborhood"].unique()}
    wide = table.pivot(**index, values="difference").reindex(**order)
    signs = np.select([table["p_seeds"] < LEVEL, table["p_images"] < LEVEL], ["‡", "†"], "")
    said = [f"{x:+.2f}{sign}" for x, sign in zip(table["difference"], signs, strict=True)]
    text = table.assign(said=said).pivot(**index, values="said").reindex(**order)
    figure, ax = plt.subplots(figsize=(3.2 + 0.8 * wide.shape[1], 1.0 + 0.27 * len(wide)))
    ends = float(np.nanmax(np.abs(wide.to_numpy())))
    shades = sns.diverging_palette(20, 245, s=60, l=70, as_cmap=True)  # for dark digits
    _cells(ax, wide, text.fillna(""), shades, (-ends, ends))
    ax.set_title("difference of map similarity")
    return figure


def _cells(
    ax: Axes, values: pd.DataFrame, text: pd.DataFrame, shades: Colormap, ends: tuple[float, float]
) -> None:
    """A shaded cell a value with its text, grey where there is none; columns are neighbourhoods."""
    sns.heatmap(
        values, ax=ax, annot=text, fmt="", cmap=shades, vmin=ends[0], vmax=ends[1], cbar=False,
        linewidths=0.5, annot_kws={"size": 7.5, "color": "#1a1a1a"},
    )  # fmt: skip
    ax.grid(visible=False)
    ax.set_facecolor("#e6e6e6")
    ax.set_xticklabels([_PLACES.get(place, place) for place in values.columns])
    ax.set(xlabel="", ylabel="")
    ax.tick_params(axis="x", rotation=25, labelsize=8)
    ax.tick_params(axis="y", rotation=0, labelsize=8)


def fronts(table: pd.DataFrame) -> Figure:
    """Accuracy kept against explanation kept: a panel a neighbourhood, a point a training.

    A colour a method, a marker a noise. Points on the front, which no training beats in both, are full and
    joined by a line; all panels have the same axes.

    Args:
        table: of :func:`innt_lib.results.neighborhoods.front` with its default measures.
    """
    places = list(dict.fromkeys(table["neighborhood"]))
    names = list(dict.fromkeys(table["training"]))
    styles = {name: _style(name) for name in names}
    columns = min(3, len(places))
    rows = math.ceil(len(places) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.0 * columns, 2.6 * rows), squeeze=False, sharex=True, sharey=True
    )
    for ax, place in zip(axes.flat, places, strict=False):
        part = table[table["neighborhood"] == place].dropna()
        best = part[part["front"]].sort_values("accuracy")
        ax.plot(100 * best["accuracy"], best["similarity"], color="#8c8c8c", lw=1, zorder=0)
        for row in part.itertuples():
            style = styles[row.training]
            face = style["color"] if row.front else "white"
            ax.plot(100 * row.accuracy, row.similarity, ls="", ms=6, mfc=face, **style)
        ax.set_title(NOISE_LABELS.get(place, place), fontsize=9)
    for ax in axes.flat[len(places) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(0, len(places) - columns) : len(places)]:  # the lowest of each column
        ax.set_xlabel("accuracy (%)")
        ax.tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_ylabel("map similarity")
    handles = [plt.Line2D([], [], ls="", label=name, **styles[name]) for name in names]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4, fontsize=8, title="on the front: full"
    )
    return figure


def _style(training: str) -> dict[str, Any]:
    method, _, noise = training.partition(", ")
    return {"color": COLOURS.get(method, "#444444"), "marker": MARKERS.get(noise, "P")}
