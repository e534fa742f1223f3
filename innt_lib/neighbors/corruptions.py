"""Corruptions of ImageNet-C (Hendrycks and Dietterich 2019), on standardised images.

A small frozen callable: ``corrupted = Corruption("shot", 3)(images, generator)``. The generator must
live on the device of the images; without one, PyTorch's global generator is used. All is computed
for the whole batch on its device, but for JPEG: Pillow compresses picture by picture on the CPU.

The published numbers are made for 224 px. On smaller pictures gaussian_blur, defocus and motion
shrink by size / 224 (size: the shorter side; never above 1): each weight of the kernel moves towards
the middle and is shared linearly among the pixels around it, which is the blur of the picture enlarged
linearly to 224 px. No kernel becomes a single weight: even the least blur changes a 32 px picture.
Zoom and pixelate are relative to the size; strengths of pixelate may coincide below 32 px.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional as F

from innt_lib.system.tensors import MEAN, STD

CORRUPTIONS: dict[str, str] = {
    "gaussian_noise": "Gaussian noise of one deviation, on every channel value",
    "shot": "shot noise: Poisson counts of few photons, on every channel value",
    "impulse": "salt and pepper: channel values, or whole pixels, set to 0 or 1",
    "speckle": "Gaussian noise in proportion to the channel value",
    "gaussian_blur": "Gaussian blur",
    "defocus": "blur of a lens out of focus: a disk",
    "motion": "blur along a line, at an angle drawn for every picture",
    "zoom": "mean of the picture and its enlargements, as if zoomed while exposed",
    "brightness": "brighter: a constant added to V of HSV",
    "contrast": "less contrast: channels drawn to their mean over the picture",
    "pixelate": "shrunk by averages over boxes and enlarged again by repetition",
    "jpeg": "JPEG compression",
}
_LEAST = 8  # px: the weakest zoom enlarges nothing below


@dataclass(frozen=True)
class Corruption:
    """One corruption at one of its five published strengths.

    The images are taken back to [0, 1] (what lies beyond is clipped), corrupted, clipped to [0, 1],
    rounded to 8 bits and standardised again. The published code cuts off where this rounds.

    Args:
        name: one of ``CORRUPTIONS``.
        strength: 1 to 5, a whole number (3.0 will do): which of the published parameters.
        per_pixel: impulse noise hits whole pixels, not single channel values as in ImageNet-C.

    Called with images ``(B, 3, H, W)``, floating point, standardised by :func:`innt_lib.data.standardise`
    (others are taken for other pictures), at least 8 px a side; returns the same shape, dtype and layout,
    without a gradient. Computed in at least float32.

    Raises:
        ValueError: unknown name (the known ones are listed); other strength, per_pixel or images.
    """

    name: str
    strength: float = 3
    per_pixel: bool = False

    def __post_init__(self) -> None:
        if self.name not in CORRUPTIONS:
            raise ValueError(f"corruption (={self.name!r}) must be one of {', '.join(CORRUPTIONS)}")
        if isinstance(self.strength, bool) or self.strength not in (1, 2, 3, 4, 5):
            raise ValueError(f"strength (={self.strength!r}) must be a whole number from 1 to 5")
        if self.per_pixel and self.name != "impulse":
            raise ValueError(f"per_pixel (=True) is for impulse, not for {self.name}")
        object.__setattr__(self, "strength", int(self.strength))

    @property
    def random(self) -> bool:
        """Whether it draws, so that another generator gives other images."""
        return self.name in ("gaussian_noise", "shot", "impulse", "speckle", "motion")

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        good = images.ndim == 4 and images.shape[1] == 3 and images.is_floating_point()
        if not (good and min(images.shape[2:]) >= _LEAST):
            raise ValueError(
                f"images ({images.dtype}, of shape {tuple(images.shape)}) must be standardised: "
                f"floating point, (B, 3, H, W), H and W at least {_LEAST}"
            )
        dtype = torch.promote_types(images.dtype, torch.float32)
        mean, std = (images.new_tensor(c, dtype=dtype).view(3, 1, 1) * 255 for c in (MEAN, STD))
        # Autocast would leave products of matrices less than 8 bits.
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            # Always contiguous: the same draws land on the same pixels whatever the layout.
            pixels = torch.addcmul(mean, images.to(dtype), std).div_(255).clamp_(0, 1).contiguous()
            function, parameters = _TABLE[self.name]
            drawing = (generator, self.per_pixel)[: self.random + (self.name == "impulse")]
            changed = function(pixels, *parameters[int(self.strength) - 1], *drawing)
            return torch.empty_like(images).copy_(_levels(changed).sub_(mean).div_(std))


def _normal(pixels: Tensor, deviation: float, power: int, generator: Generator | None) -> Tensor:
    field = torch.empty_like(pixels).normal_(generator=generator)
    return pixels + deviation * field * pixels**power


def _shot(pixels: Tensor, photons: float, generator: Generator | None) -> Tensor:
    return torch.poisson(pixels * photons, generator) / photons


def _impulse(pixels: Tensor, share: float, generator: Generator | None, per_pixel: bool) -> Tensor:
    """That share becomes 0 or 1, half of it each."""
    drawn = torch.empty_like(pixels[:, : 1 if per_pixel else 3]).uniform_(generator=generator)
    return torch.where(drawn < share, (drawn < share / 2).to(pixels.dtype), pixels)


def _motion(pixels: Tensor, radius: int, deviation: float, generator: Generator | None) -> Tensor:
    """A line of 2 radius + 1 weights exp(-i^2 / 2 deviation^2), at U(-45, 45) degrees; ours.

    The published one, ImageMagick's, begins at the pixel, in whole pixels. Here its centre of mass is
    there: as much blur, but the picture is not moved (by up to 11 px) out of its boxes and regions.
    """
    angle = pixels.new_empty(len(pixels), 1).uniform_(-45, 45, generator=generator).deg2rad_()
    step = torch.arange(2 * radius + 1).to(pixels)
    weight = torch.softmax(-(step**2) / (2 * deviation**2), 0)
    along, reach = step - weight @ step, 2 * radius
    rows, columns = (_share(along * part, reach, pixels) for part in (angle.sin(), angle.cos()))
    return _correlate(pixels, (rows * weight) @ columns.mT, "replicate")


def _gaussian_blur(pixels: Tensor, deviation: float) -> Tensor:
    """Cut off at four deviations; the picture's edge pixels go on beyond it."""
    weight = _gaussian(int(4 * deviation + 0.5), deviation)
    return _correlate(pixels, _shrunk(torch.outer(weight, weight), pixels), "replicate")


def _defocus(pixels: Tensor, radius: int, softness: float) -> Tensor:
    """The published disk: softened, and mirrored at its own edge, so that 4 and 5 brighten by 1 %."""
    half, soft = (8, 1) if radius <= 8 else (radius, 2)
    offset = torch.arange(-half, half + 1, dtype=torch.float64)
    disk = (offset**2 + offset[:, None] ** 2 <= radius**2).double()
    weight = _gaussian(soft, softness)
    padded = F.pad(disk[None, None] / disk.sum(), [soft] * 4, mode="reflect")
    disk = F.conv2d(padded, torch.outer(weight, weight)[None, None])[0, 0]
    return _correlate(pixels, _shrunk(disk, pixels), "reflect")


def _zoom(pixels: Tensor, stop: float, step: float) -> Tensor:
    """Mean of the picture and its middles enlarged linearly by 1, 1 + step, ... below stop."""
    height, width = pixels.shape[2:]
    total, factors = pixels, np.arange(1, stop, step).tolist()  # its rounding decides on sizes
    for factor in factors:
        h, w = math.ceil(height / factor), math.ceil(width / factor)
        middle = pixels[..., (height - h) // 2 :, (width - w) // 2 :][..., :h, :w]
        size = (round(h * factor), round(w * factor))
        larger = F.interpolate(middle, size=size, mode="bilinear", align_corners=True)
        total = total + larger[..., :height, :width]
    return total / (len(factors) + 1)


def _brightness(pixels: Tensor, more: float) -> Tensor:
    """H and S stay if all channels grow by the factor by which V, their maximum, grows."""
    value = pixels.amax(1, keepdim=True)
    brighter = (value + more).clamp_(max=1)
    return torch.where(value > 0.5 / 255, pixels * (brighter / value), brighter)  # black: no hue


def _contrast(pixels: Tensor, factor: float) -> Tensor:
    return pixels.mean((2, 3), keepdim=True).lerp(pixels, factor)


def _pixelate(pixels: Tensor, factor: float) -> Tensor:
    """Pillow's BOX both ways, which rounds to 8 bits after the columns and after the rows."""
    height, width = pixels.shape[2:]
    h, w = int(height * factor), int(width * factor)
    small = (_levels(pixels) @ _box(width, w).to(pixels).mT).add_(0.5).floor_()
    small = (_box(height, h).to(pixels) @ small).add_(0.5).floor_()
    return _box(h, height).to(pixels) @ small @ _box(w, width).to(pixels).mT / 255


def _box(old: int, new: int) -> Tensor:
    """(new, old): means over boxes. A pixel counts if its middle lies in the box: no shares of it."""
    pixel, half = torch.arange(old), max(old / new, 1.0) / 2
    middle = (torch.arange(new, dtype=torch.float64)[:, None] + 0.5) * (old / new)
    # Pillow's two conditions: which hold where a middle lies between two boxes, its rounding decides.
    inside = (pixel >= (middle - half + 0.5).floor()) & (pixel < (middle + half + 0.5).floor())
    away = (pixel - middle + 0.5) * (0.5 / half)
    inside &= (away > -0.5) & (away <= 0.5)
    return inside / inside.sum(1, keepdim=True, dtype=torch.float64)


def _jpeg(pixels: Tensor, quality: int) -> Tensor:
    levels = _levels(pixels).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    compressed = np.empty_like(levels)
    for i, picture in enumerate(levels):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        compressed[i] = np.asarray(Image.open(file))
    return torch.from_numpy(compressed).permute(0, 3, 1, 2).to(pixels).div_(255)


_TABLE: dict[str, tuple[Callable[..., Tensor], tuple[tuple[float, ...], ...]]] = {
    "gaussian_noise": (_normal, ((0.08, 0), (0.12, 0), (0.18, 0), (0.26, 0), (0.38, 0))),
    "shot": (_shot, ((60,), (25,), (12,), (5,), (3,))),
    "impulse": (_impulse, ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,))),
    "speckle": (_normal, ((0.15, 1), (0.2, 1), (0.35, 1), (0.45, 1), (0.6, 1))),
    "motion": (_motion, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))),
    "gaussian_blur": (_gaussian_blur, ((1,), (2,), (3,), (4,), (6,))),
    "defocus": (_defocus, ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))),
    "zoom": (_zoom, ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))),
    "brightness": (_brightness, ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))),
    "contrast": (_contrast, ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,))),
    "pixelate": (_pixelate, ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,))),
    "jpeg": (_jpeg, ((25,), (18,), (15,), (10,), (7,))),
}


def _levels(pixels: Tensor) -> Tensor:
    """Clipped and rounded to 0, 1, ..., 255, floating point."""
    return (pixels * 255).add_(0.5).floor_().clamp_(0, 255)


def _gaussian(radius: int, deviation: float) -> Tensor:
    """Weights of sum 1 from -radius to radius."""
    return torch.softmax(-(torch.arange(-radius, radius + 1).double() ** 2) / (2 * deviation**2), 0)


def _shrunk(kernel: Tensor, pixels: Tensor) -> Tensor:
    """A kernel for 224 px as one for pictures of this size: (1, odd, odd)."""
    half = len(kernel) // 2
    shares = _share(torch.arange(-half, half + 1).to(kernel), half, pixels)
    return (shares @ kernel @ shares.mT)[None].to(pixels)


def _share(positions: Tensor, reach: int, pixels: Tensor) -> Tensor:
    """Shares in pixels of n positions, which are for 224 px: (..., n) to (..., odd, n)."""
    scale = min(1.0, min(pixels.shape[2:]) / 224)
    around = torch.arange(-math.ceil(reach * scale), math.ceil(reach * scale) + 1).to(positions)
    return (1 - (positions[..., None, :] * scale - around[:, None]).abs()).clamp_(min=0)


def _correlate(pixels: Tensor, kernels: Tensor, beyond: str) -> Tensor:
    """Each picture with its kernel, (B or 1, odd, odd), by Fourier: no dearer if it is large."""
    y, x = kernels.shape[-2] // 2, kernels.shape[-1] // 2
    padded = F.pad(pixels, (x, x, y, y), mode=beyond)
    size = [-(-length // 16) * 16 for length in padded.shape[2:]]  # large primes would be slow
    spectrum = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernels, s=size).conj()[:, None]
    return torch.fft.irfft2(spectrum, s=size)[..., : pixels.shape[2], : pixels.shape[3]]
