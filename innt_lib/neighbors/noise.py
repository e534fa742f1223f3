"""The paper's two noises (Section 3.3), on standardised images.

Both are small frozen callables: ``noisy = GaussianNoise(0.15)(images, generator)``. The generator
must live on the device of the images; without one, PyTorch's global generator is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

Range = Literal["image", "channel", "batch"]
Form = Literal["multiplicative", "additive"]


@dataclass(frozen=True)
class GaussianNoise:
    r"""Gaussian noise scaled by the range of the image (Eq. 6-7).

    :math:`I + \mu_G\,(\max I - \min I)\,n,\; n \sim N(0, 1)`, drawn anew for every pixel and channel.

    Args:
        strength: :math:`\mu_G \ge 0`; the paper uses 0.15.
        range: where max and min are taken: over each ``"image"`` with all its channels (default),
            over each ``"channel"`` of each image, or over the whole ``"batch"``.

    Called with images ``(B, C, H, W)``, floating point, standardised; returns the same shape and
    dtype. Nothing is clipped.

    Raises:
        ValueError: strength negative or not finite; unknown range; other images.
    """

    strength: float = 0.15
    range: Range = "image"
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        _check_choice("range", self.range, get_args(Range))

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        field = _empty(images).normal_(generator=generator)
        over: tuple[int, ...] = {"image": (1, 2, 3), "channel": (2, 3), "batch": (0, 1, 2, 3)}[
            self.range
        ]
        spread = images.amax(over, keepdim=True) - images.amin(over, keepdim=True)
        return torch.addcmul(images, field, spread, value=self.strength)


@dataclass(frozen=True)
class NeighborhoodNoise:
    r"""Every pixel moves uniformly within a radius (Eq. 8-9).

    With :math:`u = (U(0,1) - 0.5)/0.5`, uniform in [-1, 1):

    * ``form="multiplicative"`` (Eq. 9 with its brackets restored): :math:`I\,(1 + \mu_N u)`;
    * ``form="additive"`` ("a neighborhood of a pixel with a radius"): :math:`I + \mu_N u`,
      the radius in units of the standardised image.

    Args:
        strength: :math:`\mu_N \ge 0`; the paper uses 1.0.
        form: which of the two readings.

    Called with images ``(B, C, H, W)``, floating point, standardised; returns the same shape and
    dtype. Nothing is clipped.

    Raises:
        ValueError: strength negative or not finite; unknown form; other images.
    """

    strength: float = 1.0
    form: Form = "multiplicative"
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        _check_choice("form", self.form, get_args(Form))

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        field = _empty(images).uniform_(-1.0, 1.0, generator=generator)
        scale = images if self.form == "multiplicative" else torch.ones_like(images)
        return torch.addcmul(images, field, scale, value=self.strength)


def _empty(images: Tensor) -> Tensor:
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            f"images ({images.dtype}, of shape {tuple(images.shape)}) must be standardised: floating "
            "point, (B, C, H, W)"
        )
    # Always contiguous: the same draws land on the same pixels whatever the layout of the images.
    return torch.empty(images.shape, dtype=images.dtype, device=images.device)


def _check_strength(strength: float) -> None:
    if not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"noise strength (={strength}) must be a finite number of at least 0")


def _check_choice(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ValueError(f"{name} (={value!r}) must be one of {', '.join(valid)}")
