"""The paper's augmentation (Section 4.1): random rotation and horizontal flip, batched, on the device."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def augmentation(count: int, degrees: float, flip: bool, generator: torch.Generator) -> Tensor:
    """Random rotations by up to ``degrees`` to either side, half of them mirrored.

    Returns:
        ``(count, 2, 2)`` float32 matrices on the device of the generator.
    """
    device = generator.device
    draws = torch.rand(2, count, device=device, generator=generator)
    angle = (2 * draws[0] - 1) * math.radians(degrees)
    mirror = torch.where(draws[1] < 0.5, -1.0, 1.0) if flip else torch.ones_like(angle)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack(
        [torch.stack([mirror * cos, -sin], 1), torch.stack([mirror * sin, cos], 1)], 1
    )


def transform(images: Tensor, matrices: Tensor) -> Tensor:
    """Turn images about their centre, bilinear; what comes from outside is 0, the mean colour.

    Args:
        images: ``(B, C, H, W)`` floating point.
        matrices: ``(B, 2, 2)`` from :func:`augmentation`.
    """
    height, width = images.shape[2:]
    # The grid's coordinates reach from -1 to 1 along either side, however long.
    sides = matrices.new_tensor([[1, height / width], [width / height, 1]])
    theta = torch.cat([matrices * sides, matrices.new_zeros(len(matrices), 2, 1)], dim=2)
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid.to(images.dtype), align_corners=False)
