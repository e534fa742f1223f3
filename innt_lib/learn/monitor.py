"""What is watched while a network learns: its accuracy, and whether it has collapsed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.explain import metrics
from innt_lib.explain.cam import explain
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors import Neighbor, near_fixed
from innt_lib.system.tensors import evaluating, standardise


@torch.no_grad()
def accuracy(
    network: SplitNetwork,
    images: ImageSet,
    noise: Neighbor | None = None,
    *,
    batch_size: int = 64,
    seed: int = 0,
) -> float:
    """Top-1 accuracy in [0, 1] on clean images, or under a noise drawn once per image from ``seed``.

    The network is run in evaluation mode and left as it was.
    """
    with evaluating(network):
        return _accuracy(network, images, noise, batch_size, seed)


def _accuracy(
    network: SplitNetwork, images: ImageSet, noise: Neighbor | None, batch_size: int, seed: int
) -> float:
    device = next(network.parameters()).device
    hits = 0.0
    for start in range(0, len(images), batch_size):
        part = images.select(range(start, min(start + batch_size, len(images))))
        batch = standardise(part.tensor().to(device))
        labels = torch.from_numpy(part.labels).to(device)
        if noise is not None:
            ids = torch.arange(start, start + len(part))
            batch = near_fixed(noise, batch, ids, seed, labels, network)
        hits += float(metrics.topk_correct(network(batch), labels).sum())
    return hits / len(images)


@dataclass(frozen=True)
class Seen:
    """What a network makes of images and of their noisy copies.

    Attributes:
        clean, noisy: top-1 accuracies in [0, 1].
        similarity: mean of :func:`innt_lib.explain.metrics.map_similarity` between the Grad-CAM maps of
            the two for the true class, in [-1, 1]; pairs with a flat map do not count, NaN if all have one.
    """

    clean: float
    noisy: float
    similarity: float


def watch(
    network: SplitNetwork, images: ImageSet, noise: Neighbor, *, batch_size: int = 64, seed: int = 0
) -> Seen:
    """What a network makes of images and of their copies under a noise, drawn as in :func:`accuracy`."""
    device = next(network.parameters()).device
    rows = []
    with evaluating(network):
        for start in range(0, len(images), batch_size):
            part = images.select(range(start, min(start + batch_size, len(images))))
            clean = standardise(part.tensor().to(device))
            labels = torch.from_numpy(part.labels).to(device)
            ids = torch.arange(start, start + len(part))
            noisy = near_fixed(noise, clean, ids, seed, labels, network)
            both = [explain("gradcam", network, batch, labels) for batch in (clean, noisy)]
            hits = [metrics.topk_correct(of.logits, labels).double() for of in both]
            alike = metrics.map_similarity(both[0].maps, both[1].maps).double()
            rows.append(torch.stack([*hits, alike]))
    return Seen(*torch.cat(rows, dim=1).nanmean(dim=1).tolist())


@torch.no_grad()
def constant_maps(network: SplitNetwork, images: Tensor) -> bool:
    """Whether the last maps are the same whatever the image: then no head can tell images apart.

    Args:
        network: run in evaluation mode and left as it was.
        images: at least two different ones, standardised, ``(B, 3, H, W)``, on the network's device.
    """
    with evaluating(network):
        maps = network.features(images).flatten(1).double()
    spread = (maps - maps.mean(0)).abs().amax()
    return bool(spread <= 1e-6 * maps.abs().amax())


def fell_silent(reg: float, accuracy: float, classes: int, images: int) -> bool:
    """Whether Reg_na has won: below 1e-4 after an epoch whose accuracy was no better than chance.

    Args:
        reg: mean Reg_na of the epoch; NaN without noise.
        accuracy: top-1 on its training images, in [0, 1].
        classes, images: how many; three standard errors above chance still count as chance.
    """
    chance = 1 / classes
    margin = 3 * math.sqrt(chance * (1 - chance) / images)
    return reg < 1e-4 and accuracy <= chance + margin
