"""The worst neighbours: pictures changed so that the network errs, each pixel by a little at most.

The paper names adversarial pictures as future work. Unlike noise, such a neighbour depends on the
network that it is meant for: ``Attack(2.0)(images, labels, network)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from innt_lib.system.tensors import constants, evaluating, wide


@dataclass(frozen=True)
class Attack:
    r"""Untargeted attack within an :math:`L_\infty` ball around the pixels, clipped to [0, 1].

    One step is FGSM (Goodfellow et al. 2015), :math:`x + \epsilon\,sign(\nabla_x CE)`. More are PGD (Madry
    et al. 2018): steps of :math:`2.5\,\epsilon / steps`, each projected back into the ball, begun at a
    point drawn uniformly from it.

    Args:
        strength: the radius :math:`\epsilon \ge 0` in units of 1/255.
        steps: at least 1.
        random_start: begin at a random point of the ball; by default with more than one step.

    Called with images ``(B, 3, H, W)``, standardised by :func:`innt_lib.data.standardise` (by another
    mean and deviation the radius is another), labels ``(B,)``, a network on their device and a generator
    for the start (the global one if None); returns images of the same shape and dtype, without a graph.
    ``where``, ``(B, 1, H, W)`` in [0, 1], is the share of the radius by which a pixel may change: at 0 it
    stays as it is, bit for bit. The network, a module or a method of one, is attacked in evaluation mode
    and left as it was: modes, running averages and the ``.grad`` of its parameters. Of another function
    the mode is the caller's.

    Raises:
        ValueError: strength negative or not finite; steps below 1; other images; a ``where`` of
            another shape.
    """

    strength: float = 2.0
    steps: int = 1
    random_start: bool | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ValueError(
                f"strength (={self.strength}) of an attack must be a finite number of at least 0, in "
                "units of 1/255"
            )
        if self.steps < 1:
            raise ValueError(f"steps (={self.steps}) of an attack must be at least 1")

    @property
    def random(self) -> bool:
        """Whether it draws, so that another generator gives other images."""
        return self.steps > 1 if self.random_start is None else self.random_start

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        network: Callable[[Tensor], Tensor],
        generator: torch.Generator | None = None,
        where: Tensor | None = None,
    ) -> Tensor:
        return self.search(images, labels, network, self.start(images, generator), where)

    def start(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Where the search begins, relative to the images: zeros, or a random point of the ball."""
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                f"images ({images.dtype}, of shape {tuple(images.shape)}) must be standardised: "
                "floating point, (B, 3, H, W)"
            )
        begin = torch.zeros(images.shape, dtype=images.dtype, device=images.device)
        if not self.random:
            return begin
        return begin.uniform_(-1, 1, generator=generator).mul_(self._radius(images))

    def search(
        self,
        images: Tensor,
        labels: Tensor,
        network: Callable[[Tensor], Tensor],
        start: Tensor,
        where: Tensor | None = None,
        gradient: Tensor | None = None,
    ) -> Tensor:
        """The attacked images, from a given start of the images' shape.

        Args:
            gradient: :func:`loss_gradient` at that start, if it is known already; saves a pass.
        """
        images = images.detach()
        radius = self._radius(images)
        if where is not None:
            if where.shape != (len(images), 1, *images.shape[2:]):
                raise ValueError(
                    f"where (of shape {tuple(where.shape)}) must be (B, 1, H, W) as the images "
                    f"({tuple(images.shape)}), the share of the radius in every pixel"
                )
            radius = radius * where.to(images.dtype)
        mean, std = (c.to(images.dtype) / 255 for c in constants(images.device))
        low = torch.maximum(images - radius, -mean / std)
        high = torch.minimum(images + radius, (1 - mean) / std)
        step = radius if self.steps == 1 else 2.5 / self.steps * radius
        # Where a picture is out of range itself (turned, or noisy), its own pixels are the limit.
        low, high = torch.minimum(low, images), torch.maximum(high, images)
        near = torch.clamp(images + start, low, high)
        with evaluating(network), torch.inference_mode(False), torch.enable_grad():
            for _ in range(self.steps):
                if gradient is None:
                    leaf = near.clone().requires_grad_()  # a copy: inference tensors have none
                    gradient = loss_gradient(network(leaf), labels, leaf)
                near = torch.clamp(near + step * gradient.sign(), low, high)
                gradient = None
        return near

    def _radius(self, images: Tensor) -> Tensor:
        """Per channel, in standardised units: ``(3, 1, 1)``."""
        return self.strength / constants(images.device)[1].to(images.dtype)


def loss_gradient(logits: Tensor, labels: Tensor, images: Tensor) -> Tensor:
    """The gradient of every image's cross-entropy with respect to its pixels: what an attack follows.

    Args:
        logits: ``(B, C)``, with a graph to the images.
        labels: ``(B,)``.
        images: ``(B, 3, H, W)``, which require a gradient.
    """
    # Summed, so that no image's gradient depends on the size of the batch.
    loss = F.cross_entropy(wide(logits), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images)
    return gradient
