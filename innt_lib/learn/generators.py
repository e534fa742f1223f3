"""Generators behind one interface: pixels to latents and back; here the VAE, in ``flow.py`` the Glow.

Pixels are ``(B, 3, H, W)`` in [0, 1]; latents a list of levels, the deepest first. Neither draws
anything: a VAE encodes to the mean of its posterior, a flow is exact.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Generator(nn.Module, abc.ABC):
    """A generator of square pictures.

    Args:
        size: their side in pixels.

    Attributes:
        shapes: of one picture's latents, level by level, the deepest first.
        bits: whether :meth:`log_likelihood` is there.
        trained_on: fingerprint of the pictures it was trained on; empty while it is not known.
    """

    bits = False
    trained_on = ""

    def __init__(self, size: int, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.size = size
        self.shapes = tuple(shapes)

    @abc.abstractmethod
    def encode(self, pixels: Tensor) -> list[Tensor]:
        """Latents, level by level, of pixels ``(B, 3, H, W)`` in [0, 1]."""

    @abc.abstractmethod
    def decode(self, latents: Sequence[Tensor]) -> Tensor:
        """Pixels ``(B, 3, H, W)`` of latents; perhaps out of [0, 1], or not finite."""

    @abc.abstractmethod
    def loss(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """What is minimised, mean over the batch, in nats a picture; noise comes from the generator."""

    def log_likelihood(self, pixels: Tensor) -> Tensor:
        """``(B,)`` nats of 8-bit pictures.

        Raises:
            NotImplementedError: there is none.
        """
        raise NotImplementedError(f"a {type(self).__name__} has no likelihood that can be computed")

    def bits_per_dim(self, pixels: Tensor) -> Tensor:
        """``(B,)``: minus the log-likelihood in bits, by channel of a pixel."""
        return -self.log_likelihood(pixels) / (math.log(2) * 3 * self.size**2)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Pixels of so many draws from the prior, N(0, 1) for every latent; clipped to [0, 1]."""
        some = next(self.parameters())
        drawn = [
            torch.empty((count, *shape), device=some.device).normal_(generator=generator)
            for shape in self.shapes
        ]
        return self.decode(drawn).clamp(0, 1)


class VAE(Generator):
    r"""A convolutional variational autoencoder (Kingma and Welling 2014), after the description of LVAT's.

    The encoder halves the picture three times and ends in a tanh; the decoder doubles it three times and ends
    in a sigmoid. The loss is the binary cross-entropy, summed over pixels, and
    :math:`\beta\,KL(N(\mu, \sigma) \| N(0, 1))`.

    Args:
        size: divisible by 8.
        width: channels at half the size; twice and four times as many below.
        latent: numbers in a latent.
        beta: weight of the KL.

    Raises:
        ValueError: size not divisible by 8.
    """

    def __init__(self, size: int, width: int = 128, latent: int = 128, beta: float = 0.1) -> None:
        check_size(size)
        super().__init__(size, [(latent,)])
        self.beta = beta
        w, side = width, size // 8
        self.encoder = nn.Sequential(
            nn.Conv2d(3, w, 2, 2, bias=False), nn.BatchNorm2d(w), nn.ReLU(),
            nn.Conv2d(w, 2 * w, 2, 2, bias=False), nn.BatchNorm2d(2 * w), nn.ReLU(),
            nn.Conv2d(2 * w, 4 * w, 2, 2, bias=False), nn.BatchNorm2d(4 * w), nn.Tanh(),
            nn.Flatten(), nn.Linear(4 * w * side**2, 2 * latent),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latent, 32 * side**2), nn.LeakyReLU(0.1), nn.Unflatten(1, (32, side, side)),
            nn.ConvTranspose2d(32, 4 * w, 2, 2, bias=False), nn.BatchNorm2d(4 * w), nn.ReLU(),
            nn.ConvTranspose2d(4 * w, 2 * w, 2, 2, bias=False), nn.BatchNorm2d(2 * w), nn.ReLU(),
            nn.ConvTranspose2d(2 * w, w, 2, 2, bias=False), nn.BatchNorm2d(w), nn.ReLU(),
            nn.Conv2d(w, 3, 1),
        )  # fmt: skip
        self.to(memory_format=torch.channels_last)

    def encode(self, pixels: Tensor) -> list[Tensor]:
        """The mean of the posterior."""
        return [self.encoder(pixels).chunk(2, 1)[0]]

    def decode(self, latents: Sequence[Tensor]) -> Tensor:
        """Pixels in [0, 1]."""
        return torch.sigmoid(self.decoder(latents[0]))

    def loss(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Cross-entropy and weighted KL; ``log sigma`` is kept in [-10, 10]."""
        mean, log_std = self.encoder(pixels).chunk(2, 1)
        log_std = log_std.clamp(-10, 10)
        noise = torch.empty_like(mean).normal_(generator=generator)
        logits = self.decoder(mean + log_std.exp() * noise)
        entropy = F.binary_cross_entropy_with_logits(logits, pixels, reduction="sum")
        kl = 0.5 * (mean.square() + (2 * log_std).exp() - 1 - 2 * log_std).sum()
        return (entropy + self.beta * kl) / len(pixels)


def freeze(generator: Generator) -> Generator:
    """In evaluation mode, its weights without gradients."""
    return generator.eval().requires_grad_(False)


def check_size(size: int) -> None:
    """Raise ValueError for a size that cannot be halved three times."""
    if size % 8:
        raise ValueError(
            f"size (={size}) must be divisible by 8: a generator halves it three times"
        )
