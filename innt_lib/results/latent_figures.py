"""Figures of the notebook on latent neighbours: networks, generators and tidy tables in, a figure out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.explain.cam import explain
from innt_lib.learn.generators import Generator
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors.vat import VAT, divergence
from innt_lib.results.gallery import Panel, displayable, panels
from innt_lib.results.latent import search
from innt_lib.results.latent_claims import POSSIBLE, within
from innt_lib.results.stats import mean_interval
from innt_lib.results.style import CAM_LABELS, METHOD_COLOURS, METHOD_LABELS, in_order
from innt_lib.system.tensors import from_pixels, standardise, to_pixels


def generated(generators: Mapping[str, Generator], images: ImageSet, columns: int = 8) -> Figure:
    """What generators make: reconstructions, samples, and the way in latent space from picture to picture.

    Args:
        generators: by name, on the CPU or a GPU.
        images: the first ``columns`` are shown.
    """
    pixels = to_pixels(standardise(images.tensor()[:columns]))
    rows, labels = [_row(pixels)], ["pictures"]
    for name, generator in generators.items():
        x = pixels.to(next(generator.parameters()).device)
        with torch.no_grad():
            latents = generator.encode(x)
            drawn = generator.sample(columns, torch.Generator(x.device).manual_seed(0))
            part = torch.linspace(0, 1, columns, device=x.device)
            between = [
                torch.stack([(1 - t) * level[0] + t * level[1] for t in part]) for level in latents
            ]
            rows += [_row(generator.decode(z)) for z in (latents, between)] + [_row(drawn)]
        labels += [f"{name}:\nback", "between\nthe first two", "samples"]
    return panels(rows, row_labels=labels, side=0.95)


def _row(pixels: Tensor) -> list[Panel]:
    shown = displayable(from_pixels(pixels.detach().nan_to_num(0.0).clamp(0, 1)))
    return [Panel(picture) for picture in shown]


def generator_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss by epoch, a panel a generator, with the bits a dimension of test pictures where there are any.

    Args:
        histories: of :func:`innt_lib.results.generator_runs.history`, by name.
    """
    figure, axes = plt.subplots(
        1, len(histories), figsize=(3.4 * len(histories), 2.5), squeeze=False
    )
    for ax, (name, history) in zip(axes[0], histories.items(), strict=True):
        bits = history["bits"].notna().any()
        column = "bits" if bits else "loss"
        ax.plot(history["epoch"], history[column], marker="o", ms=3, color="#1f5fa8")
        ax.set(title=name, xlabel="epoch")
        ax.set_ylabel("bits a dimension, test" if bits else "loss (nats a picture)")
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


def neighbours(
    network: SplitNetwork,
    one: ImageSet,
    neighbors: Mapping[str, VAT],
    cam: str = "gradcam",
    enlarged: float = 4.0,
) -> Figure:
    """One picture and its neighbours, their differences enlarged, predictions and heat maps.

    Args:
        network: trained, in evaluation mode.
        one: a set of one picture.
        neighbors: by name.
        cam: one of ``cam.CAMS``; the maps explain what is predicted.
        enlarged: factor of the differences, which are shown around grey.
    """
    device = next(network.parameters()).device
    x = standardise(one.tensor().to(device))
    shown = {"picture": x}
    shown |= {name: search(network, one, of)[0].images for name, of in neighbors.items()}
    clean = explain(cam, network, x, None)
    rows: list[list[Panel | None]] = [[], [], []]
    for image in shown.values():
        seen = explain(cam, network, image, None)
        said = int(seen.logits.argmax(1))
        kl = float(divergence(clean.logits, seen.logits))
        apart = to_pixels(image) - to_pixels(x)
        difference = from_pixels((0.5 + enlarged * apart).clamp(0, 1))
        chance = float(seen.logits.softmax(1)[0, said])
        first = not rows[0]
        caption = f"{one.classes[said]}, p {chance:.2f}" + ("" if first else f"\nKL {kl:.2f}")
        rows[0].append(Panel(displayable(image)[0], caption=caption, correct=said == one.labels[0]))
        far = "" if first else f"distance {float(apart.norm()):.1f}"
        rows[1].append(None if first else Panel(displayable(difference)[0], caption=far))
        rows[2].append(Panel(displayable(image)[0], seen.maps[0].cpu().numpy()))
    labels = ["seen", f"difference\nx {enlarged:g}", CAM_LABELS[cam]]
    return panels(rows, list(shown), labels, side=1.25)


def walk(
    network: SplitNetwork,
    one: ImageSet,
    neighbors: Mapping[str, VAT],
    factors: Sequence[float] = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0),
) -> Figure:
    """Along the adversarial direction: the pictures at multiples of each strength, and what is predicted.

    Args:
        network: trained, in evaluation mode.
        one: a set of one picture.
        neighbors: by name; a row each.
        factors: of their strengths.
    """
    rows = []
    for neighbor in neighbors.values():
        copies = one.select([0] * len(factors))
        device = next(network.parameters()).device
        x = standardise(copies.tensor().to(device))
        # The same start for each, drawn as for one picture: the same direction, at another distance.
        start = [
            level.expand(len(factors), *level.shape[1:]).contiguous()
            for level in neighbor.start(x[:1], torch.Generator(device).manual_seed(0))
        ]
        far = torch.tensor(factors, device=device) * neighbor.strength
        found = neighbor.search(x, network, start, radius=far).images
        chances, said = network(found).detach().softmax(1).max(1)
        rows.append([
            Panel(
                displayable(found)[i],
                caption=f"{one.classes[int(said[i])]}, p {float(chances[i]):.2f}",
                correct=bool(said[i] == int(one.labels[0])),
            )
            for i in range(len(factors))
        ])  # fmt: skip
    columns = [f"{factor:g} x epsilon" for factor in factors]
    names = [f"{name}\n(epsilon {of.strength:g})" for name, of in neighbors.items()]
    return panels(rows, columns, names, side=1.2)


def against_distance(means: pd.DataFrame) -> Figure:
    """KL and flipped predictions against the distance from the picture, a curve a neighbour.

    Args:
        means: of :func:`innt_lib.results.latent.sweep`, perhaps of several networks (column ``seed``).
    """
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 2.9))
    table = means.groupby(["neighbor", "epsilon"], sort=False).mean(numeric_only=True).reset_index()
    for ax, column in zip(axes, ("kl", "flipped"), strict=True):
        for name, group in table.groupby("neighbor", sort=False):
            style = {"color": METHOD_COLOURS[str(name)], "label": METHOD_LABELS[str(name)]}
            ax.plot(group["distance"], group[column], marker="o", ms=3.5, **style)
        ax.set(xlabel="distance in pixels of [0, 1]", ylim=(0, None), xlim=(0, None))
    axes[0].set_ylabel("KL to the prediction on the picture")
    axes[1].set_ylabel("share of flipped predictions")
    axes[0].legend()
    return figure


def by_labels(results: pd.DataFrame, columns: Mapping[str, str]) -> Figure:
    """A panel a column, by number of labels, methods side by side: a small dot a training, bars intervals.

    Args:
        results: a row a training: ``method``, ``labels`` (how they are written, in order) and the columns.
        columns: how to write each.
    """
    counts = list(dict.fromkeys(results["labels"]))
    methods = in_order(results["method"], METHOD_LABELS)
    width = 0.8 + (1.4 + 0.16 * len(methods)) * len(counts)
    figure, axes = plt.subplots(
        1, len(columns), figsize=(max(3.2, width) * len(columns), 3.0), squeeze=False
    )
    apart = 0.8 / len(methods)
    for ax, (column, text) in zip(axes[0], columns.items(), strict=True):
        for method, count in product(methods, counts):
            group = results[(results["method"] == method) & (results["labels"] == count)]
            place = counts.index(count) + apart * (methods.index(method) - (len(methods) - 1) / 2)
            found, colour = mean_interval(group[column]), METHOD_COLOURS[method]
            aside = [place + 0.3 * apart] * len(group)
            ax.plot(aside, group[column], "o", ms=3.5, alpha=0.7, mew=0, color=colour)
            low, high = within(column, found.low, found.high, found.n)
            ax.plot([place] * 2, [low, high], "-", lw=1.6, color=colour)
            label = METHOD_LABELS[method] if count == counts[0] else None
            ax.plot(place, found.mean, "o", ms=5.5, color=colour, label=label)
        low, high = results[column].min(), results[column].max()
        margin = 0.35 * (high - low) + 1e-9
        least, most = POSSIBLE[column]
        ax.set(ylabel=text, ylim=(max(least, low - margin), min(most, high + margin)))
        ax.set_xticks(range(len(counts)), [f"{count} labels" for count in counts])
        ax.set_xlim(-0.6, len(counts) - 0.4)
        ax.grid(axis="x", visible=False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(methods)))
    return figure


def by_labels_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Errors and similarities as they are read, a row a number of labels and method, a column a metric.

    Intervals are cut to what is possible; fewer than three trainings have none.

    Args:
        cells: of :func:`innt_lib.results.tables.intervals`, with the column ``labels``.
    """

    def written(cell: pd.Series) -> str:
        low, high = within(cell["metric"], cell["low"], cell["high"], cell["seeds"])
        return f"{cell['mean']:.3g}" + ("" if math.isnan(low) else f" [{low:.3g}, {high:.3g}]")

    named = cells.assign(text=cells.apply(written, axis=1))
    wide = named.pivot(index=["labels", "method"], columns="metric", values="text")
    return wide.loc[list(dict.fromkeys(zip(cells["labels"], cells["method"], strict=True)))]


def around_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Means and intervals over pictures at r = 0, random and adversarial, as they are read.

    Args:
        measured: of :func:`innt_lib.results.latent.around`.
    """
    rows = []
    for (name, way), group in measured.groupby(["neighbor", "r"], sort=False):
        good = group.query("usable")
        kl = mean_interval(good["kl"].clip(lower=0).to_numpy())  # rounding makes it -1e-9
        rows.append({
            "neighbour": METHOD_LABELS[str(name)], "r": way,
            "KL": f"{kl.mean:.3f} [{kl.low:.3f}, {kl.high:.3f}]",
            "flipped": f"{100 * good['flipped'].mean():.0f} %",
            "distance": round(float(np.mean(good["distance"])), 2),
            "dropped": int((~group["usable"]).sum()),
        })  # fmt: skip
    return pd.DataFrame(rows)
