"""From which tau to search, for a network and its pictures."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.learn.losses import Norm, activation_distance
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors.noise import GaussianNoise
from innt_lib.system.tensors import seeded, standardise


def suggest_tau(
    network: SplitNetwork,
    images: ImageSet | Tensor,
    batch_size: int,
    *,
    norm: Norm = "batch",
    start: float = 0.5,
) -> float:
    """The tau at which Reg_na of a network, as it is, starts out at ``start``.

    The paper's 2e-3 belongs to its networks at 224 pixels in batches of 8; other networks and sizes
    have larger or smaller maps. 0.5 is our choice, not measured in the paper's setting, and a place to
    search from: on CUB from ImageNet weights the rule of notebook 7 takes 4 times this tau for
    SqueezeNet 1.1 and 64 times, the largest tried, for EfficientNet-Lite0 (docs/results.md). Not for
    random networks without batch normalisation (AlexNet, VGG16): their untrained maps are small,
    and with the large tau that follows from that they can collapse: all maps equal, accuracy at
    chance. Measured in training mode on one batch of evenly spaced training images with Gaussian
    noise of strength 0.15, and rounded to two digits, so that it does not depend on the machine.
    The network's running statistics move, and it stays in training mode: give it one of its own.

    Args:
        images: the training images, or standardised ones ``(N, 3, H, W)``.
        batch_size: that of the training, on which the norm over a batch depends.
        norm: of :func:`innt_lib.learn.losses.activation_distance`.
        start: what Reg_na is to be, positive.

    Raises:
        ValueError: the maps of the clean and of the noisy images do not differ, or not by a finite
            number.
    """
    chosen = torch.linspace(0, len(images) - 1, min(batch_size, len(images))).long()
    if isinstance(images, Tensor):
        clean = images[chosen.to(images.device)].cpu()  # where the noise is drawn
    else:
        clean = standardise(images.select(chosen.numpy()).tensor())
    noisy = GaussianNoise(0.15)(clean, torch.Generator().manual_seed(0))
    device = next(network.parameters()).device
    with seeded(0, device), torch.no_grad():  # of dropout
        both = torch.cat([clean, noisy]).to(device)
        clean_maps, noisy_maps = network.train().features(both).chunk(2)
        distance = float(activation_distance(clean_maps, noisy_maps, 1.0, norm))
        if not 0 < distance < math.inf:
            raise ValueError(
                f"no tau suits this network: at tau = 1 its Reg_na is {distance}; give tau a number"
            )
        # Reg_na grows with tau and passes start once: widen, then halve.
        low, high = 0.0, 1.0
        while activation_distance(clean_maps, noisy_maps, high, norm) < start:
            high *= 2
        for _ in range(40):
            middle = (low + high) / 2
            above = activation_distance(clean_maps, noisy_maps, middle, norm) > start
            low, high = (low, middle) if above else (middle, high)
    return float(f"{high:.1e}")
