"""Regions of a picture and their heat, by which two maps of it can be compared.

    areas = regions(images)                       # of the clean pictures, once
    clean = region_heat(clean_maps, areas)
    noisy = region_heat(noisy_maps, areas)
    rho = rank_biased_overlap(clean, noisy, 0.2)  # of innt_lib.explain.overlap: one number a picture

After the published description of the noise robustness of CAMs (Sarkar et al. 2025). Its parameters
were not at hand: what stands here are the settings of its authors' published code for related
measures, and readings of our own.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.segmentation import quickshift
from torch import Tensor

from innt_lib.system.progress import progress

Score = Literal["mean", "sum"]
# Part of every kept file's name: raise it when the same pictures fall into other regions.
VERSION = 1
# Below this Quickshift finds one or two regions a picture, and there is nothing to rank.
SIDE = 224
CHUNK = 64  # pictures whose maps are held enlarged at once
CELLS = 64 * 64  # pixels of a map up to which its enlargement is worked out beforehand


def regions(images: np.ndarray) -> np.ndarray:
    """Quickshift regions of pictures, best of the clean ones: noise makes regions of its own.

    Kernel size 5, maximal distance 200 (farther than Quickshift looks with this kernel: no limit),
    ratio 0.2 in Lab colours, seed 42. Slow: keep them. Equal pictures have equal regions.

    Args:
        images: ``(N, H, W, 3)`` uint8, RGB. Pictures whose shorter side is below ``SIDE`` are
            enlarged to it (bicubic) before they are cut up.

    Returns:
        ``(N, H', W')`` int16: the region of each pixel, 0 to m - 1, where m differs between
        pictures; a flat picture falls into regions by chance. H', W': as enlarged.

    Raises:
        ValueError: images not uint8 ``(N, H, W, 3)`` or without pixels.
    """
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[3] != 3
        or 0 in images.shape[1:]
    ):
        raise ValueError(
            f"images ({images.dtype}, of shape {images.shape}) must be uint8 (N, H, W, 3), RGB"
        )
    height, width = images.shape[1:3]
    scale = max(1.0, SIDE / min(height, width))
    size = round(height * scale), round(width * scale)
    found = np.empty((len(images), *size), np.int16)
    bar = progress(images, desc="regions", unit="picture")
    for i, picture in enumerate(bar):
        if scale > 1:
            enlarged = Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC)
            picture = np.asarray(enlarged)
        found[i] = quickshift(
            picture, kernel_size=5, max_dist=200, ratio=0.2, convert2lab=True, rng=42
        )
    return found


def grid(count: int, cells: int = 8, side: int = SIDE) -> np.ndarray:
    """Squares instead of regions, for comparison: ``(count, side, side)`` int16, cells x cells of them.

    Raises:
        ValueError: cells below 1 or above side.
    """
    if not 1 <= cells <= side:
        raise ValueError(f"cells (={cells}) must lie in 1 to side (={side})")
    step = np.arange(side, dtype=np.int16) * cells // side
    return np.broadcast_to(step[:, None] * cells + step, (count, side, side)).astype(np.int16)


def region_heat(maps: Tensor, regions: np.ndarray, score: Score = "mean") -> Tensor:
    """Heat of every region of each map: :class:`RegionHeat` for maps that come alone.

    Args:
        maps: ``(N, H, W)``, floating point; enlarged (bilinear) to the regions' size if smaller.
        regions, score: as for :class:`RegionHeat`.
    """
    if maps.ndim != 3:
        raise ValueError(
            f"maps ({maps.dtype}, of shape {tuple(maps.shape)}) must be floating point (N, H, W)"
        )
    heats = [
        RegionHeat(regions[i : i + CHUNK], maps.shape[1:], maps.device)(maps[i : i + CHUNK], score)
        for i in range(0, max(1, len(maps), len(regions)), CHUNK)
    ]
    columns = max(heat.shape[1] for heat in heats)
    return torch.cat([F.pad(h, (0, columns - h.shape[1]), value=torch.nan) for h in heats])


class RegionHeat:
    """Heat of regions, prepared once for many maps of the same pictures.

    Small maps, up to ``CELLS`` pixels, are not enlarged each time: what a pixel of theirs adds to a
    region, once enlarged (bilinear), is worked out beforehand.

    Args:
        regions: ``(N, H', W')`` integers from 0, as :func:`regions` gives them.
        size: of the maps, H <= H', W <= W'.
        device: of the maps.

    Raises:
        ValueError: regions not integers, not of that shape or below 0; maps larger than the regions.
    """

    def __init__(
        self, regions: np.ndarray, size: tuple[int, int] | torch.Size, device: torch.device
    ) -> None:
        if regions.dtype.kind not in "iu" or regions.ndim != 3:
            raise ValueError(
                f"regions ({regions.dtype}, of shape {regions.shape}) must be integers (N, H, W), one "
                "of each of the maps"
            )
        if regions.shape[1] < size[0] or regions.shape[2] < size[1]:
            raise ValueError(
                f"maps (of {size[0]} x {size[1]}) must not be larger than the regions "
                f"(of {regions.shape[1]} x {regions.shape[2]})"
            )
        if regions.size and regions.min() < 0:
            raise ValueError(f"regions (with {regions.min()}) must be numbered from 0")
        self.shape, self.size = regions.shape, tuple(size)
        self.columns = int(regions.max()) + 1 if regions.size else 1
        rows = torch.arange(len(regions), device=device)[:, None, None] * self.columns
        self.cell = torch.from_numpy(regions.astype(np.int64)).to(device) + rows
        self.counts = torch.bincount(self.cell.flatten(), minlength=self._cells).double()
        small = self.size != self.shape[1:] and math.prod(self.size) <= CELLS
        self.weights = self._weights() if small else None

    @property
    def _cells(self) -> int:
        return self.shape[0] * self.columns

    def _weights(self) -> Tensor:
        """(N, M, h w), double: the share of a small map's pixel in the sum over an enlarged region."""
        ways = [
            _sources(new, old, self.cell.device)
            for new, old in zip(self.shape[1:], self.size, strict=True)
        ]
        width, pixels = self.size[1], math.prod(self.size)
        total = self.counts.new_zeros(self._cells * pixels)
        for y, of_y in ways[0]:
            for x, of_x in ways[1]:
                place = (self.cell * pixels + (y[:, None] * width + x)).flatten()
                share = (of_y[:, None] * of_x).expand(self.shape).flatten()
                total += torch.bincount(place, share, len(total))
        return total.view(self.shape[0], self.columns, pixels)

    def __call__(self, maps: Tensor, score: Score = "mean") -> Tensor:
        """Heat of the regions.

        Args:
            maps: ``(N, H, W)``, floating point.
            score: ``"mean"`` over a region's pixels, or their ``"sum"``, which ranks by area too.

        Returns:
            ``(N, M)`` on the maps' device and of their type (at least float32), M being the largest
            number of regions; NaN for a number that the picture has no region of, and all NaN for a
            map that is all NaN. A flat map's regions have exactly its value as mean.

        Raises:
            ValueError: maps not floating point or of another shape; unknown score.
        """
        if score not in get_args(Score):
            raise ValueError(f"score (={score!r}) must be one of {', '.join(get_args(Score))}")
        if not maps.is_floating_point() or tuple(maps.shape) != (self.shape[0], *self.size):
            raise ValueError(
                f"maps ({maps.dtype}, of shape {tuple(maps.shape)}) must be floating point, one of "
                f"{self.size[0]} x {self.size[1]} for each of the {self.shape[0]} regions"
            )
        wide = maps if maps.dtype == torch.float64 else maps.float()
        # In double precision, so that neither the order of the sum nor its length matters.
        if self.weights is not None:
            sums = torch.bmm(self.weights, wide.flatten(1).double()[:, :, None]).flatten()
        else:
            if self.size != self.shape[1:]:
                larger = F.interpolate(wide[:, None], self.shape[1:], mode="bilinear")[:, 0]
            else:
                larger = wide
            sums = torch.bincount(self.cell.flatten(), larger.flatten().double(), self._cells)
        means = (sums / self.counts).view(-1, self.columns)
        flat = (wide.amax((1, 2)) == wide.amin((1, 2)))[:, None] & ~means.isnan()
        means = torch.where(flat, wide[:, :1, 0].double(), means)
        heat = means * self.counts.view(means.shape) if score == "sum" else means
        return heat.to(wide.dtype)


def _sources(new: int, old: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Both pixels of a line that one of its enlargement lies between (bilinear), and their shares."""
    at = (torch.arange(new, device=device, dtype=torch.float64) + 0.5) * (old / new) - 0.5
    at = at.clamp(0, old - 1)
    low = at.floor().long()
    return [(low, 1 - (at - low)), ((low + 1).clamp(max=old - 1), at - low)]
