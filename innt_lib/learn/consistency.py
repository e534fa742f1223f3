"""Explanation consistency (Wu et al. 2024): does a picture's explanation survive an attack on its background?

Six steps a picture: its heat map; what of it is background; an attack there and nowhere else; the map
of the attacked picture; E, which is 1 - D(map, map) if the prediction stands and 0 if not; v = 1 - E.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.data.masks import read_masks
from innt_lib.explain.cam import explain
from innt_lib.explain.gradient_cams import gradient_cam
from innt_lib.explain.metrics import inside_boxes
from innt_lib.explain.seam import to_image_size
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.weighing import Distance, Weighing
from innt_lib.neighbors.attacks import loss_gradient
from innt_lib.system.tensors import evaluating, standardise

PIXELS = 2**16  # scored at a time: 64 pictures of 32 px, 2 of 224 px and up to FEWEST
FEWEST = 16


@dataclass(frozen=True)
class Probe:
    """What the six steps found, a row a picture.

    Args:
        maps, attacked_maps: ``(B, H, W)`` in [0, 1], of one class.
        where: ``(B, 1, H, W)`` in [0, 1]: the share of the radius by which a pixel may change.
        attacked: ``(B, 3, H, W)``, standardised.
        distance: D, ``(B,)`` in [0, 1].
        flipped: ``(B,)`` bool: the attack changed the prediction.
        degenerate: ``(B,)`` bool: one of the maps is zero everywhere.
        unmoved: ``(B,)`` bool: the gradient is zero everywhere, as that of a saturated network.
    """

    maps: Tensor
    attacked_maps: Tensor
    where: Tensor
    attacked: Tensor
    distance: Tensor
    flipped: Tensor
    degenerate: Tensor
    unmoved: Tensor

    @property
    def consistency(self) -> Tensor:
        """E, ``(B,)`` in [0, 1]."""
        return torch.where(self.flipped, 0.0, 1 - self.distance)


def probe(
    network: SplitNetwork,
    images: Tensor,
    labels: Tensor,
    weighing: Weighing,
    foreground: Tensor | None = None,
) -> Probe:
    """Steps 1 to 5, in the passes they cannot do without: one forward serves map and attack.

    Args:
        network: run in evaluation mode and left as it was, the ``.grad`` of its parameters too.
        images: ``(B, 3, H, W)``, standardised.
        labels: ``(B,)``.
        weighing: how.
        foreground: ``(B, H, W)`` bool, for the masks ``"box"`` and ``"segmentation"``.
    """
    with evaluating(network), torch.inference_mode(False):
        with torch.enable_grad():
            leaf = images.clone().requires_grad_()
            activations = network.features(leaf)
            logits = network.head(activations)
            gradient = loss_gradient(logits, labels, leaf)
        predicted = logits.detach().argmax(1)
        targets = labels if weighing.target == "label" else predicted
        raw = gradient_cam(weighing.cam, activations.detach(), network.head, targets).maps
        maps = to_image_size(raw, images.shape[-2:])
        where = attackable(maps, weighing, foreground)
        attack = weighing.attack
        attacked = attack.search(images, labels, network, attack.start(images), where, gradient)
        again = explain(weighing.cam, network, attacked, targets)
    return Probe(
        maps, again.maps, where, attacked,
        map_distance(maps, again.maps, weighing.distance), again.logits.argmax(1) != predicted,
        ~maps.flatten(1).any(1) | ~again.maps.flatten(1).any(1), ~gradient.flatten(1).any(1),
    )  # fmt: skip


def attackable(maps: Tensor, weighing: Weighing, foreground: Tensor | None = None) -> Tensor:
    """The share of the radius by which each pixel may change: ``(B, 1, H, W)`` in [0, 1].

    A map that is zero everywhere has no foreground.

    Args:
        maps: ``(B, H, W)`` in [0, 1].
        weighing: its mask and threshold.
        foreground: as for :func:`probe`.
    """
    kind = weighing.mask
    if kind in ("box", "segmentation"):
        assert foreground is not None, "known to foreground_of"
        where = ~foreground
    elif kind == "soft":
        where = 1 - maps
    elif kind == "fraction":
        flat = maps.flatten(1)
        count = max(1, round(weighing.threshold * flat.shape[1]))
        least = flat.topk(count, 1).values[:, -1, None, None]
        where = (maps < least) | (maps == 0)
    elif kind == "none":
        where = torch.ones_like(maps)
    else:
        where = maps < weighing.threshold
        where = ~where if kind == "foreground" else where
    return where.to(maps.dtype).unsqueeze(1)


def map_distance(a: Tensor, b: Tensor, distance: Distance) -> Tensor:
    """D of two heat maps: ``(B,)`` in [0, 1]; 0 if both are zero everywhere, 1 if one is.

    Args:
        a, b: ``(B, H, W)`` in [0, 1].
        distance: see :class:`Weighing`.
    """
    a, b = a.flatten(1), b.flatten(1)
    if distance == "l1":
        found = (a - b).abs().mean(1)
    elif distance == "cosine":
        found = 1 - F.cosine_similarity(a, b)
    else:
        found = 1 - torch.minimum(a, b).sum(1) / torch.maximum(a, b).sum(1)
    blank_a, blank_b = ~a.any(1), ~b.any(1)
    return torch.where(blank_a | blank_b, (blank_a ^ blank_b).to(a), found).clamp(0, 1)


def foreground_of(images: ImageSet, weighing: Weighing) -> Tensor | None:
    """The true foreground ``(N, H, W)`` bool that a mask needs, and None for one that needs none.

    Raises:
        ValueError: the data set has no boxes, or no segmentations.
    """
    if weighing.mask == "segmentation":
        try:
            return torch.from_numpy(read_masks(images))
        except ValueError as error:
            raise ValueError(f"mask (='segmentation'): {error}; use 'threshold'") from None
    if weighing.mask != "box":
        return None
    if images.boxes is None:
        raise ValueError(f"mask (='box') needs boxes, and {images.name} has none; use 'threshold'")
    height, width = images.images.shape[1:3]
    return inside_boxes(torch.from_numpy(images.boxes), height, width)


@dataclass(frozen=True)
class Scores:
    """Every picture of a set, scored: tensors ``(N,)`` on the network's device.

    Args:
        v: what the weights are made of.
        distance, flipped, degenerate, unmoved: of :class:`Probe`; NaN where nothing is attacked.
    """

    v: Tensor
    distance: Tensor
    flipped: Tensor
    degenerate: Tensor
    unmoved: Tensor

    def log(self) -> dict[str, float]:
        """Means, for the history: see ``LOGGED``."""
        found = (self.flipped, self.distance, self.v, self.degenerate, self.unmoved)
        return dict(zip(LOGGED, (float(part.double().mean()) for part in found), strict=True))


LOGGED = ("flip_rate", "distance", "v", "degenerate", "unmoved")


class Scorer:
    """Scores all pictures of a set with a network: called with it, returns :class:`Scores`.

    Unaugmented, in evaluation mode and at least float32, in batches; a picture's score does not depend
    on its batch.

    Args:
        images: the training images.
        weighing: how.
        pixels: the same images as a uint8 tensor ``(N, H, W, 3)``, if it is on a device already.

    Raises:
        ValueError: a mask whose boxes or segmentations the images do not have.
    """

    def __init__(self, images: ImageSet, weighing: Weighing, pixels: Tensor | None = None) -> None:
        self.weighing = weighing
        self.pixels = images.tensor() if pixels is None else pixels
        self.labels = torch.from_numpy(images.labels)
        self.foreground = foreground_of(images, weighing)

    def __call__(self, network: SplitNetwork) -> Scores:
        parts = list(self._batches(network))
        names = (field.name for field in fields(Scores))
        return Scores(**{name: torch.cat([getattr(p, name) for p in parts]) for name in names})

    def _batches(self, network: SplitNetwork) -> Iterator[Scores]:
        device = next(network.parameters()).device
        size = max(FEWEST, PIXELS // (self.pixels.shape[1] * self.pixels.shape[2]))
        for rows in torch.arange(len(self.labels)).split(size):
            images = standardise(self.pixels[rows.to(self.pixels.device)].to(device))
            labels = self.labels[rows].to(device)
            inside = None if self.foreground is None else self.foreground[rows].to(device)
            yield self._score(network, images, labels, inside)

    def _score(
        self, network: SplitNetwork, images: Tensor, labels: Tensor, inside: Tensor | None
    ) -> Scores:
        weighing = self.weighing
        if not weighing.attacks:
            with evaluating(network), torch.no_grad():
                logits = network(images)
            unknown = torch.full(labels.shape, torch.nan, device=labels.device)
            if weighing.by == "loss":
                v = 1 - logits.softmax(1).gather(1, labels[:, None])[:, 0]
            else:
                v = torch.where(logits.argmax(1) == labels, 1.0, weighing.upweight)
            return Scores(v, unknown, unknown, unknown, unknown)
        found = probe(network, images, labels, weighing, inside)
        flipped = found.flipped.to(found.distance)
        v = {"maps": found.distance, "flips": flipped}.get(weighing.by, 1 - found.consistency)
        return Scores(v, found.distance, flipped, found.degenerate, found.unmoved)
