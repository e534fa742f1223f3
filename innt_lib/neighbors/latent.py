"""Neighbours in the latent space of a generator (Osada et al. 2020), after the authors' public code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from torch import Tensor

from innt_lib.neighbors.vat import VAT, Levels, unit
from innt_lib.system.tensors import from_pixels, to_pixels

Target = Literal["image", "reconstruction"]


class EncoderDecoder(Protocol):
    """A frozen generator: pixels in [0, 1] to latents and back."""

    @property
    def shapes(self) -> Sequence[tuple[int, ...]]:
        """Of one picture's latents, level by level, the deepest first."""

    def encode(self, pixels: Tensor) -> list[Tensor]:
        """Latents, level by level, of pixels ``(B, 3, H, W)`` in [0, 1]."""

    def decode(self, latents: Sequence[Tensor]) -> Tensor:
        """Pixels ``(B, 3, H, W)``, perhaps out of [0, 1] or not finite, of latents."""


@dataclass(frozen=True)
class LVAT(VAT):
    r"""The neighbour :math:`Dec(Enc(x) + r)` with :math:`\|r\|_2 = \epsilon` in the latent space.

    The direction is found as for :class:`VAT`, with the gradient taken through the decoder. Pixels are
    clipped to [0, 1], whose gradient is then 0 where they leave it; pictures that are not finite are dropped.

    Args:
        strength, xi, iterations, direction: as for :class:`VAT`, in the units of the latents.
        generator: frozen.
        target: the prediction that the neighbour's is compared with: of the ``"image"``, as in the authors'
            code, where :math:`KL` is not 0 at r = 0 if the generator blurs, and one step follows its
            gradient there; or of its ``"reconstruction"``, which makes the search a power iteration.
        levels: of several latents, the deepest and all others are of length epsilon each
            (``"separate"``, as in the authors' code), or all of them together (``"joint"``).

    Raises:
        ValueError: no generator; unknown target or levels; as for :class:`VAT`.
    """

    generator: EncoderDecoder | None = None
    target: Target = "image"
    levels: Levels = "separate"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.generator is None:
            raise ValueError("neighbours in a latent space need a generator")
        check_readings(self.target, self.levels)

    @property
    def _generator(self) -> EncoderDecoder:
        assert self.generator is not None
        return self.generator

    def shapes(self, images: Tensor) -> Sequence[tuple[int, ...]]:
        """Of one picture's latents, level by level, the deepest first."""
        return self._generator.shapes

    def encode(self, images: Tensor) -> list[Tensor]:
        """The latents of pictures."""
        return self._generator.encode(to_pixels(images))

    def decode(self, latents: Sequence[Tensor], move: Sequence[Tensor] | None) -> Tensor:
        """The pictures at latents moved by so much; NaN and infinity are left for the caller to see."""
        moved = latents if move is None else [z + r for z, r in zip(latents, move, strict=True)]
        pixels = self._generator.decode(moved)
        # clamp would turn infinity into white
        return from_pixels(pixels.where(pixels.isinf(), pixels.clamp(0, 1)))

    def unit(self, move: Sequence[Tensor]) -> list[Tensor]:
        """Of length 1 for every picture: the deepest level and the others, or all of them together."""
        every = range(len(move))
        if self.levels == "joint" or len(move) == 1:
            return unit(move, [every])
        return unit(move, [every[:1], every[1:]])

    def reference(self, images: Tensor, latents: Sequence[Tensor]) -> Tensor:
        """The pictures whose prediction the neighbour's is compared with."""
        if self.target == "image":
            return images
        return self._picture(images, latents, None)[0]


def check_readings(target: str, levels: str) -> None:
    """Raise ValueError unless both are among the known ones."""
    for name, value, valid in (("target", target, Target), ("levels", levels, Levels)):
        if value not in get_args(valid):
            raise ValueError(f"{name} (={value!r}) must be one of {', '.join(get_args(valid))}")
