"""What all class activation maps share: the seam of a network, targets, and the scale of maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from innt_lib.system.tensors import wide

Head = Callable[[Tensor], Tensor]


class Split(Protocol):
    """Anything with ``features`` (images -> A) and ``head`` (A -> logits), as ``SplitNetwork``."""

    @property
    def features(self) -> Callable[[Tensor], Tensor]: ...
    @property
    def head(self) -> Head: ...


class Explanation(NamedTuple):
    """Nonnegative maps ``(B, h, w)`` and the logits ``(B, C)`` of the images, without graph."""

    maps: Tensor
    logits: Tensor


def to_image_size(maps: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Raw maps ``(B, h, w)``, rectified and scaled to [0, 1] at an image's size ``(H, W)``.

    ReLU, minimum to 0 and maximum to 1, bilinear resize (as OpenCV's), scaled again, as
    pytorch-grad-cam does, save that no constant is added to the maximum: a map's overall scale
    never matters. A map without positive or without differing values becomes all zero; a map
    with a NaN becomes all NaN.

    Raises:
        ValueError: maps not ``(B, h, w)``.
    """
    if maps.ndim != 3:
        raise ValueError(f"maps (of shape {tuple(maps.shape)}) must be (B, h, w)")
    scaled = scale_(wide(maps).relu().unsqueeze(1))
    resized = F.interpolate(scaled, size=tuple(size), mode="bilinear", align_corners=False)
    return scale_(resized).squeeze(1)


def checked_targets(targets: Tensor | None, logits: Tensor) -> Tensor:
    if targets is None:
        return logits.detach().argmax(1)
    targets = torch.as_tensor(targets)  # a list or an array will do
    if targets.shape != logits.shape[:1]:
        raise ValueError(
            f"targets (of shape {tuple(targets.shape)}) must be ({len(logits)},), a class an image"
        )
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise ValueError(f"targets (of {targets.dtype}) must be integers")
    classes = logits.shape[1]
    if wrong := targets[(targets < 0) | (targets >= classes)].tolist():
        raise ValueError(f"targets (with {wrong[0]}) must lie in 0 to {classes - 1}")
    return targets.to(logits.device, torch.int64)


def scale_(maps: Tensor) -> Tensor:
    """In place, each map of ``(B, 1, h, w)`` from its minimum at 0 to its maximum at 1; flat ones to 0."""
    maps.sub_(maps.amin((2, 3), keepdim=True))
    top = maps.amax((2, 3), keepdim=True)
    return maps.div_(torch.where(top == 0, 1, top))
