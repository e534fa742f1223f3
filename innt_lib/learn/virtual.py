"""Settings of virtual adversarial training: in pixel space (VAT), and in that of a generator (LVAT)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from innt_lib.learn.generation import Generation
from innt_lib.neighbors.latent import LVAT, EncoderDecoder, Target, check_readings
from innt_lib.neighbors.vat import VAT, Direction, Levels


@dataclass(frozen=True, kw_only=True)
class Virtual:
    """Which neighbour a prediction is held to; open readings are listed in ``docs/readings.md``.

    Args:
        epsilon: its distance: in pixels of [0, 1] for VAT, in latents for LVAT. 0 leaves, of LVAT, the
            consistency with the reconstruction alone.
        xi, iterations, direction: of the search, see :class:`innt_lib.neighbors.VAT`.
        entropy: whether the entropy of the predictions on pictures is added to the loss.
        generator: of LVAT, trained beforehand; None for VAT.
        target, levels: of LVAT, see :class:`innt_lib.neighbors.LVAT`.

    Raises:
        ValueError: a value out of range.
    """

    epsilon: float = 1.0
    xi: float = 1e-2
    iterations: int = 1
    direction: Direction = "adversarial"
    entropy: bool = False
    generator: Generation | None = None
    target: Target = "image"
    levels: Levels = "separate"

    def __post_init__(self) -> None:
        VAT(self.epsilon, self.xi, self.iterations, self.direction)
        check_readings(self.target, self.levels)

    @property
    def identity(self) -> dict[str, Any]:
        """What makes a difference to the trained weights."""
        made = asdict(self) | {"generator": self.generator and self.generator.identity}
        if self.generator is None:
            return {k: v for k, v in made.items() if k not in ("generator", "target", "levels")}
        return made

    def neighbor(self, generator: EncoderDecoder | None = None) -> VAT:
        """The neighbour: VAT's, or LVAT's if a generator is given."""
        search = (self.epsilon, self.xi, self.iterations, self.direction)
        if generator is None:
            return VAT(*search)
        return LVAT(*search, generator, self.target, self.levels)
