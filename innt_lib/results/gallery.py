"""Pictures: grids of images with their heat maps, and what networks look at, clean and noisy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.explain.cam import explain
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors import Neighbor, near_fixed
from innt_lib.results.evaluation import Target
from innt_lib.system.tensors import MEAN, STD, standardise


@dataclass(frozen=True)
class Panel:
    """One picture of a grid.

    Args:
        image: ``(H, W, 3)``, uint8 or float in [0, 1].
        map: heat map ``(H, W)`` in [0, 1], laid over the image.
        box: x0, y0, x1, y1 in pixels, drawn as a frame.
        caption: short text below.
        correct: colours the caption green or red.
        overlay: opacity of the map; 1 shows it alone.
        marks: x, y in pixels and a short text written there.
    """

    image: np.ndarray
    map: np.ndarray | None = None
    box: np.ndarray | None = None
    caption: str = ""
    correct: bool | None = None
    overlay: float = 0.5
    marks: tuple[tuple[float, float, str], ...] = ()


def panels(
    rows: Sequence[Sequence[Panel | None]],
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    *,
    side: float = 1.05,
    gap_every: int = 0,
) -> Figure:
    """A grid of pictures with their heat maps, boxes and captions.

    Args:
        rows: lists of panels; None leaves a hole.
        column_labels, row_labels: as many as columns and rows, or none.
        side: of one picture, in inches.
        gap_every: leave some air after each so many rows.
    """
    columns = max(len(row) for row in rows)
    has_captions = any(p and p.caption for row in rows for p in row)
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(columns * side + 0.5 * bool(row_labels), len(rows) * (side + 0.16 * has_captions)),
        squeeze=False,
        gridspec_kw={"wspace": 0.03, "hspace": 0.03},
    )
    for r, row in enumerate(rows):
        for c in range(columns):
            ax = axes[r, c]
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            for spine in ax.spines.values():
                spine.set_visible(False)
            if c < len(row) and (panel := row[c]) is not None:
                _draw(ax, panel)
    for ax, text in zip(axes[0], column_labels, strict=False):
        ax.set_title(text, fontsize=8.5, pad=4)
    for ax, text in zip(axes[:, 0], row_labels, strict=False):
        ax.set_ylabel(text, fontsize=8.5)
    if gap_every:
        for r in range(gap_every - 1, len(rows) - 1, gap_every):
            for ax in axes[r]:
                ax.set_xlabel(ax.get_xlabel() + "\n", fontsize=7.5)
    return figure


def _draw(ax: Axes, panel: Panel) -> None:
    ax.imshow(panel.image)
    if panel.map is not None:
        ax.imshow(panel.map, vmin=0, vmax=1, alpha=panel.overlay)
    if panel.box is not None and np.isfinite(panel.box).all():
        x0, y0, x1, y1 = panel.box
        frame = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, lw=1.2, ec="white")
        frame.set_path_effects([_outline()])
        ax.add_patch(frame)
    for x, y, text in panel.marks:
        written = ax.text(x, y, text, color="white", fontsize=8, ha="center", va="center")
        written.set_path_effects([_outline()])
    if panel.caption:
        colour = {None: "#333333", True: "#1a7a3a", False: "#b3261e"}[panel.correct]
        ax.set_xlabel(panel.caption, fontsize=7.5, labelpad=2, color=colour)


def _outline() -> mpl.patheffects.AbstractPathEffect:
    from matplotlib import patheffects

    return patheffects.withStroke(linewidth=2.6, foreground="black")


@dataclass(frozen=True)
class Look:
    """Pictures as one network saw them.

    Args:
        pictures: ``(B, H, W, 3)`` uint8: what it was shown, noise included, clipped for display.
        maps: ``(B, H, W)`` in [0, 1]: where it looked to find the class that was asked for.
        predicted: ``(B,)`` class numbers.
        probability: ``(B,)`` of the true class.
        labels: ``(B,)`` true classes.
    """

    pictures: np.ndarray
    maps: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray
    labels: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """``(B,)`` bool: predicted the true class."""
        return np.asarray(self.predicted == self.labels)

    def panel(self, i: int, caption: str | None = None, overlay: float = 0.5) -> Panel:
        """Picture ``i`` under its map, captioned with the probability of the true class.

        A map that is zero everywhere is left out and said to be empty.
        """
        text = f"p = {self.probability[i]:.2f}" if caption is None else caption
        empty = not self.maps[i].any()
        if empty:
            text = f"{text}, no map".removeprefix(", ")
        shown = None if empty else self.maps[i]
        return Panel(self.pictures[i], shown, None, text, bool(self.correct[i]), overlay)

    def picture(self, i: int, caption: str = "") -> Panel:
        """Picture ``i`` alone."""
        return Panel(self.pictures[i], caption=caption)


def look(
    network: SplitNetwork,
    images: ImageSet,
    noise: Neighbor | None = None,
    *,
    chosen: Sequence[int] | None = None,
    cam: str = "gradcam",
    target: Target = "label",
    seed: int = 0,
) -> Look:
    """Show pictures to a network and ask where it looked.

    Args:
        network: trained, in eval mode.
        images: the data set.
        noise: added from ``seed`` and an image's position in the data set, as it is where networks are
            measured; None shows the clean pictures.
        chosen: positions of the images to show; None shows all.
        cam: one of ``cam.CAMS``.
        target: the class whose maps these are: the true ``"label"``, or that ``"predicted"`` on the
            picture that is shown.
    """
    device = next(network.parameters()).device
    parts = []
    places = torch.arange(len(images)) if chosen is None else torch.tensor(chosen)
    for positions in places.split(64):
        few = images.select(positions.numpy())
        shown = noisy_batch(few, noise, seed, positions, network).to(device)
        labels = torch.from_numpy(few.labels).to(device)
        found = explain(cam, network, shown, labels if target == "label" else None)
        probability = found.logits.softmax(1).gather(1, labels[:, None])[:, 0]
        seen = (found.maps, found.logits.argmax(1), probability)
        parts.append((displayable(shown), *(tensor.cpu().numpy() for tensor in seen)))
    pictures, maps, predicted, chances = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Look(pictures, maps, predicted, chances, images.labels[places.numpy()])


def noisy_batch(
    images: ImageSet,
    noise: Neighbor | None,
    seed: int = 0,
    positions: Tensor | None = None,
    network: SplitNetwork | None = None,
) -> Tensor:
    """Standardised images ``(B, 3, H, W)``, noisy if asked, on the network's device or the CPU.

    Args:
        images: a batch of them.
        noise: drawn from ``seed`` and an image's position; None leaves the images clean.
        positions: ``(B,)`` integer, in the set that the batch is of; 0 to B - 1 if None.
        network: which attacks are aimed at; other neighbours do without.
    """
    device = torch.device("cpu") if network is None else next(network.parameters()).device
    clean = standardise(images.tensor().to(device))
    if noise is None:
        return clean
    ids = torch.arange(len(images)) if positions is None else positions
    labels = torch.from_numpy(images.labels).to(device)
    return near_fixed(noise, clean, ids, seed, labels, network)


def displayable(images: Tensor) -> np.ndarray:
    """Standardised images ``(B, 3, H, W)`` as uint8 ``(B, H, W, 3)``, clipped to what can be shown."""
    mean, std = (torch.tensor(c, device=images.device).view(3, 1, 1) for c in (MEAN, STD))
    pixels = ((images * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)
    return np.asarray(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy())
