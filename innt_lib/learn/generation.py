"""Which generator is trained beforehand and how, and what builds and loads it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors import SafetensorError
from safetensors.torch import load_file

from innt_lib.learn.generators import VAE, Generator, freeze
from innt_lib.system.tensors import seeded

Kind = Literal["vae", "glow"]
IGNORED = {"vae": ("blocks",), "glow": ("latent", "beta")}


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Which generator, and how it is trained.

    Args:
        kind: ``"vae"`` or ``"glow"``.
        width: channels: see :class:`innt_lib.learn.generators.VAE` and :class:`innt_lib.learn.flow.Glow`.
        blocks: of the Glow: steps of flow a scale.
        latent, beta: of the VAE: numbers in a latent, weight of the KL.
        epochs, batch_size: a last incomplete batch is left out.
        learning_rate: of Adam, reached after ``WARM_UP`` steps.
        rotation, flip: augmentation, as of :class:`innt_lib.learn.settings.Settings`.
        seed: of initialisation, order, augmentation and noise.

    Raises:
        ValueError: a value out of range.
    """

    kind: Kind = "vae"
    width: int = 64
    blocks: int = 8
    latent: int = 128
    beta: float = 0.1
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    rotation: float = 0.0
    flip: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"generator (={self.kind!r}) must be one of {', '.join(get_args(Kind))}"
            )
        for name, least in (
            ("width", 1), ("blocks", 1), ("latent", 1), ("epochs", 1), ("batch_size", 2), ("seed", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} (={getattr(self, name)}) of a generator must be at least {least}"
                )
        for name in ("beta", "learning_rate"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(
                    f"{name} (={getattr(self, name)}) of a generator must be a positive number"
                )
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"rotation (={self.rotation}) must lie between 0 and 180 degrees")

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that make a difference to the trained weights, sorted by name."""
        return {k: v for k, v in sorted(asdict(self).items()) if k not in IGNORED[self.kind]}


def build_generator(settings: Generation, size: int) -> Generator:
    """An untrained generator for square pictures of a size, drawn from the settings' seed.

    Raises:
        ValueError: a size that does not suit it.
    """
    from innt_lib.learn.flow import Glow  # only here: normflows is not needed otherwise

    with seeded(settings.seed):
        if settings.kind == "vae":
            return VAE(size, settings.width, settings.latent, settings.beta)
        return Glow(size, settings.width, settings.blocks)


def load_generator(settings: Generation, size: int, path: Path) -> Generator:
    """A trained generator from its safetensors file: frozen, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a safetensors file, or that of another generator.
    """
    made = build_generator(settings, size)
    if not path.is_file():
        raise FileNotFoundError(f"no generator at {path}")
    try:
        found = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from None
    wanted = made.state_dict()
    odd = wanted.keys() ^ found.keys() or {
        name for name in wanted if wanted[name].shape != found[name].shape
    }
    if odd:
        raise ValueError(
            f"{path} is a generator of another kind or size than {settings.kind} for {size} pixels "
            f"(see {min(odd)})"
        )
    made.load_state_dict(found)
    return freeze(made)
