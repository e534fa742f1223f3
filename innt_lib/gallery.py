"""What networks look at: heat maps of the same pictures, clean and noisy, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from innt_lib.cam import explain
from innt_lib.data import MEAN, STD, ImageSet, standardise
from innt_lib.figures import Panel
from innt_lib.models import SplitNetwork
from innt_lib.noise import Noise, fixed_noise


@dataclass(frozen=True)
class Look:
    """Pictures as one network saw them.

    Args:
        pictures: ``(B, H, W, 3)`` uint8: what it was shown, noise included, clipped for display.
        maps: ``(B, H, W)`` in [0, 1]: where it looked to find the true class.
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
    noise: Noise | None = None,
    *,
    cam: str = "gradcam",
    seed: int = 0,
) -> Look:
    """Show pictures to a network and ask where it looked.

    Args:
        network: trained, in eval mode.
        images: a few; all are processed at once.
        noise: added from ``seed``, the same for every network; None shows the clean pictures.
        cam: one of ``cam.CAMS``.
    """
    device = next(network.parameters()).device
    shown = noisy_batch(images, noise, seed).to(device)
    labels = torch.from_numpy(images.labels).to(device)
    found = explain(cam, network, shown, labels)
    probability = found.logits.softmax(1).gather(1, labels[:, None])[:, 0]
    return Look(
        displayable(shown),
        found.maps.cpu().numpy(),
        found.logits.argmax(1).cpu().numpy(),
        probability.cpu().numpy(),
        images.labels,
    )


def noisy_batch(images: ImageSet, noise: Noise | None, seed: int = 0) -> Tensor:
    """Standardised images ``(B, 3, H, W)``, noisy if asked, on the CPU."""
    clean = standardise(images.tensor())
    return clean if noise is None else fixed_noise(noise, clean, torch.arange(len(images)), seed)


def displayable(images: Tensor) -> np.ndarray:
    """Standardised images ``(B, 3, H, W)`` as uint8 ``(B, H, W, 3)``, clipped to what can be shown."""
    mean, std = (torch.tensor(c, device=images.device).view(3, 1, 1) for c in (MEAN, STD))
    pixels = ((images * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)
    return np.asarray(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy())
