r"""Virtual adversarial neighbours (Miyato et al. 2018): where the prediction moves most; no label needed.

At the picture itself :math:`KL(p(x) \| p(x + r))` has its minimum, so that close to it only the Hessian
says where it rises fastest: one finite difference of gradients is a product with it, and repeated products
turn a random direction towards its top eigenvector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from innt_lib.system.tensors import constants, evaluating, wide

Direction = Literal["adversarial", "random"]
Levels = Literal["separate", "joint"]
Network = Callable[[Tensor], Tensor]


class Found(NamedTuple):
    """What a search came to.

    Attributes:
        images: ``(B, 3, H, W)``, standardised, without a graph; the picture itself where it is not usable.
        usable: ``(B,)`` bool: its neighbour is finite.
        target: ``(B, C)`` logits of the prediction that the neighbour's is compared with.
    """

    images: Tensor
    usable: Tensor
    target: Tensor


@dataclass(frozen=True)
class VAT:
    r"""The neighbour at distance :math:`\epsilon` whose prediction differs most from the picture's.

    :math:`d \leftarrow \nabla_d KL(p(x) \| p(x + \xi\,d / \|d\|))`, begun at a normal draw and repeated;
    then :math:`x + \epsilon\,d / \|d\|`. Nothing is clipped.

    Args:
        strength: :math:`\epsilon \ge 0`, the Euclidean distance in pixels of [0, 1].
        xi: of the finite difference, positive; 1e-6, as published, is lost in float32.
        iterations: products with the Hessian, at least 1.
        direction: ``"adversarial"``, or ``"random"``: the normal draw itself, as a control.

    Called with images ``(B, 3, H, W)``, standardised by :func:`innt_lib.data.standardise` (by another mean
    and deviation the distance is another), a network on their device and a generator for the start (the
    global one if None); returns images of the same shape, without a graph. The network is run in evaluation
    mode and left as it was.

    Raises:
        ValueError: a value out of range; other images.
    """

    strength: float = 1.0
    xi: float = 1e-2
    iterations: int = 1
    direction: Direction = "adversarial"
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ValueError(f"epsilon (={self.strength}) must be a finite number of at least 0")
        if not (math.isfinite(self.xi) and self.xi > 0):
            raise ValueError(f"xi (={self.xi}) must be a positive number")
        if self.iterations < 1:
            raise ValueError(f"iterations (={self.iterations}) must be at least 1")
        if self.direction not in get_args(Direction):
            known = ", ".join(get_args(Direction))
            raise ValueError(f"direction (={self.direction!r}) must be one of {known}")

    def __call__(
        self, images: Tensor, network: Network, generator: torch.Generator | None = None
    ) -> Tensor:
        with evaluating(network), torch.inference_mode(False):
            return self.search(images, network, self.start(images, generator)).images

    # --- the space that is searched: here the pixels ---------------------------------------------------

    def start(self, images: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        """A normal draw for every picture, of the shape of its latents."""
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                f"images ({images.dtype}, of shape {tuple(images.shape)}) must be standardised: "
                "floating point, (B, 3, H, W)"
            )
        return [_normal(shape, images, generator) for shape in self.shapes(images)]

    def shapes(self, images: Tensor) -> Sequence[tuple[int, ...]]:
        """Of one picture's latents, level by level, the deepest first."""
        return [tuple(images.shape[1:])]

    def encode(self, images: Tensor) -> list[Tensor]:
        """The latents of pictures."""
        return [images]

    def decode(self, latents: Sequence[Tensor], move: Sequence[Tensor] | None) -> Tensor:
        """The pictures, standardised, at latents moved by so much."""
        if move is None:
            return latents[0]
        std = constants(latents[0].device)[1].to(latents[0].dtype) / 255
        return latents[0] + move[0] / std

    def unit(self, move: Sequence[Tensor]) -> list[Tensor]:
        """Of length 1 for every picture."""
        return unit(move)

    def reference(self, images: Tensor, latents: Sequence[Tensor]) -> Tensor:
        """The pictures whose prediction the neighbour's is compared with."""
        return images

    # --- the search ------------------------------------------------------------------------------------

    def search(
        self,
        images: Tensor,
        network: Network,
        start: Sequence[Tensor],
        *,
        latents: Sequence[Tensor] | None = None,
        radius: Tensor | None = None,
    ) -> Found:
        """The neighbours, and the prediction that theirs is compared with.

        Args:
            images: standardised, ``(B, 3, H, W)``.
            network: run as it is: whoever calls sets its mode. Only predictions are asked of it.
            start: of :meth:`start`.
            latents: of :meth:`encode`, if they are known.
            radius: ``(B,)``, a distance for every picture, instead of ``strength``.
        """
        images = images.detach()
        with torch.no_grad(), _full_precision(images):
            latents = self.encode(images) if latents is None else latents
            target = network(self.reference(images, latents))
        move = list(start)
        still = radius is None and self.strength == 0
        if self.direction == "adversarial" and not still:
            for _ in range(self.iterations):
                move = self._gradient(images, network, target, latents, self.unit(move))
        with torch.no_grad(), _full_precision(images):
            far = self.strength if radius is None else radius
            steps = None if still else [_times(part, far) for part in self.unit(move)]
            found, usable = self._picture(images, latents, steps)
        return Found(found, usable, target)

    def _gradient(
        self,
        images: Tensor,
        network: Network,
        target: Tensor,
        latents: Sequence[Tensor],
        direction: Sequence[Tensor],
    ) -> list[Tensor]:
        with torch.enable_grad(), _full_precision(images):
            leaves = [(self.xi * part).requires_grad_() for part in direction]
            found, _ = self._picture(images, latents, leaves)
            # Summed, so that no picture's gradient depends on the size of the batch.
            return list(torch.autograd.grad(divergence(target, network(found)).sum(), leaves))

    def _picture(
        self, images: Tensor, latents: Sequence[Tensor], move: Sequence[Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Moved, with the picture itself in the place of what is not finite: batch statistics spread it."""
        decoded = self.decode(latents, move)
        usable = decoded.isfinite().flatten(1).all(1)
        return torch.where(usable[:, None, None, None], decoded, images), usable


def divergence(target: Tensor, logits: Tensor) -> Tensor:
    r""":math:`KL(p \| q) = \sum_c p_c \log(p_c / q_c)` of two predictions.

    Args:
        target: ``(B, C)`` logits of p.
        logits: ``(B, C)`` logits of q.

    Returns:
        ``(B,)``, in nats, float32 or wider.
    """
    log_p, log_q = (wide(of).log_softmax(1) for of in (target, logits))
    return (log_p.exp() * (log_p - log_q)).sum(1)


def unit(move: Sequence[Tensor], groups: Sequence[Sequence[int]] = ((0,),)) -> list[Tensor]:
    """Scaled so that each group of levels has Euclidean length 1 for every picture.

    Divided by the largest entry first, so that squares of tiny gradients do not vanish.

    Args:
        move: levels ``(B, ...)``.
        groups: which levels share a norm.
    """
    made = list(move)
    for group in groups:
        flat = [move[i].flatten(1) for i in group]
        largest = torch.stack([part.abs().amax(1) for part in flat]).amax(0) + 1e-12
        squares = sum((part / largest[:, None]).square().sum(1) for part in flat)
        scale = 1 / (largest * torch.as_tensor(squares).add(1e-6).sqrt())
        for i in group:
            made[i] = _times(move[i], scale)
    return made


def _times(part: Tensor, factor: Tensor | float) -> Tensor:
    """Each picture's part by a factor of its own."""
    if isinstance(factor, Tensor):
        factor = factor.to(part).view(-1, *[1] * (part.ndim - 1))
    return part * factor


def _normal(shape: tuple[int, ...], images: Tensor, generator: torch.Generator | None) -> Tensor:
    drawn = torch.empty((len(images), *shape), dtype=images.dtype, device=images.device)
    return drawn.normal_(generator=generator)


def _full_precision(images: Tensor) -> AbstractContextManager[object]:
    """Under bfloat16 a step of xi would be rounded away."""
    return torch.autocast(images.device.type, enabled=False)
