"""Networks split at the seam: ``features`` (image -> last convolutional maps A) and ``head`` (A -> logits).

Everything the paper does lives on that seam: Reg_na compares A of clean and noisy images, the CAM
family needs A and the gradient of the head alone. Any other CNN joins in by being split the same way:
``SplitNetwork(features, head)``, two modules of your own.
"""

from __future__ import annotations

from bisect import bisect_left

import torch
from torch import Tensor, nn

from innt_lib.system.tensors import evaluating


class SplitNetwork(nn.Module):
    """A classifier made of two modules.

    Args:
        features: maps images ``(B, 3, H, W)`` to the last convolutional maps ``(B, K, h, w)``.
        head: maps those to logits ``(B, C)``; it must not change them in place.

    Raises:
        ValueError: a part that is a function or a method: its weights would not be trained or saved.
    """

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        for name, part in (("features", features), ("head", head)):
            if not isinstance(part, nn.Module):
                raise ValueError(
                    f"{name} (a {type(part).__name__}) must be an nn.Module, so that its weights are "
                    "found: wrap what it calls in one"
                )
        self.features = features
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` of standardised images ``(B, 3, H, W)``."""
        logits: Tensor = self.head(self.features(images))
        return logits


def map_size(network: SplitNetwork, size: int) -> int:
    """Side of the last convolutional map for square images of ``size`` pixels; 0 if it has none."""
    some = next(network.parameters())
    try:
        with torch.no_grad(), evaluating(network):
            return int(network.features(some.new_zeros(1, 3, size, size)).shape[-1])
    except RuntimeError as error:
        if "output size" in str(error).lower() or "kernel size" in str(error).lower():
            return 0  # a pooling or convolution ran out of pixels
        raise


def check_size(network: SplitNetwork, size: int, name: str = "network") -> None:
    """Raise ValueError, naming the smallest size that works, if the last map would be under 2 x 2."""
    side = map_size(network, size)
    if side >= 2:
        return
    sizes = range(size + 1, max(512, 2 * size) + 1)
    if map_size(network, sizes[-1]) < 2:
        raise ValueError(
            f"the last map of {name} is {side} x {side} for images of {size} pixels and no larger for "
            f"{sizes[-1]}: let its features end before they are pooled"
        )
    smallest = sizes[bisect_left(sizes, 2, key=lambda larger: map_size(network, larger))]
    raise ValueError(
        f"image size (={size}) is too small for {name}: its last map would be {side} x {side}; "
        f"the smallest size that works is {smallest}"
    )
