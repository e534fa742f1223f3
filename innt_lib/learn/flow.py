"""Glow (Kingma and Dhariwal 2018) out of normflows' parts, as a generator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from normflows import MultiscaleFlow
from normflows.distributions import DiagGaussian
from normflows.flows import GlowBlock, Merge, Squeeze
from torch import Tensor

from innt_lib.learn.generators import Generator, check_size

SCALES = 3


class Glow(Generator):
    """A normalising flow of three scales, half of each factored out, the prior N(0, 1) everywhere.

    A picture is encoded as its levels k of 256 in the middle of their bins, (k + 0.5) / 256 - 0.5, without
    noise: decoding gives it back to rounding. The affine couplings multiply by a sigmoid on the way to
    pixels, so that they cannot blow up there; 1 x 1 convolutions and activation normalisation still can.

    Args:
        size: divisible by 8.
        width: channels inside the couplings.
        blocks: steps of flow a scale.

    Raises:
        ValueError: size not divisible by 8.
    """

    bits = True

    def __init__(self, size: int, width: int = 64, blocks: int = 8) -> None:
        check_size(size)
        flows, priors, merges, shapes = [], [], [], []
        for i in range(SCALES):  # from the deepest to the pixels
            channels = 3 * 2 ** (SCALES + 1 - i)
            steps = [
                # Not by LU: what it calls has been announced to go.
                GlowBlock(channels, width, scale_map="sigmoid_inv", use_lu=False)
                for _ in range(blocks)
            ]
            flows.append([*steps, Squeeze()])
            side = size // 2 ** (SCALES - i)
            shapes.append((channels if i == 0 else channels // 2, side, side))
            priors.append(DiagGaussian(shapes[-1], trainable=False))
            if i:
                merges.append(Merge())
        super().__init__(size, shapes)
        self.flow = MultiscaleFlow(priors, flows, merges, class_cond=False)

    def encode(self, pixels: Tensor) -> list[Tensor]:
        """The deepest level first; the first batch ever, which must be of pictures, sets scales."""
        latents, _ = self._inverse(_centred(pixels, 0.5))
        return latents

    def decode(self, latents: Sequence[Tensor]) -> Tensor:
        """Pixels that may leave [0, 1]."""
        centred: Tensor = self.flow.forward_and_log_det(list(latents))[0]
        return ((centred + 0.5) * 256 - 0.5) / 255

    def loss(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Minus the log-density of dequantised pictures, and what 8 bits cost."""
        noise = torch.empty_like(pixels).uniform_(generator=generator)
        return -self._log_likelihood(_centred(pixels, noise)).mean()

    def log_likelihood(self, pixels: Tensor) -> Tensor:
        """``(B,)`` nats, with the density taken in the middle of the bins."""
        return self._log_likelihood(_centred(pixels, 0.5))

    def _log_likelihood(self, centred: Tensor) -> Tensor:
        latents, log_det = self._inverse(centred)
        total = log_det - 3 * self.size**2 * math.log(256)
        for z in latents:
            total = total - 0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        return total

    def _inverse(self, centred: Tensor) -> tuple[list[Tensor], Tensor]:
        latents, log_det = self.flow.inverse_and_log_det(centred.contiguous())
        return latents, log_det


def _centred(pixels: Tensor, within: Tensor | float) -> Tensor:
    return (pixels * 255 + within) / 256 - 0.5
