"""The KL between a prediction and that of a virtual adversarial neighbour, as one term of a step's loss.

The pass over labelled pictures is a usual one. Those here run in the same mode, so with batch statistics
and dropout, but move no running averages and share their dropout masks: else the direction that is looked
for would follow the difference of two masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from innt_lib.data import ImageSet
from innt_lib.learn.generators import Generator
from innt_lib.learn.settings import Settings
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors.vat import divergence
from innt_lib.system.tensors import standardise, wide


class Held(NamedTuple):
    """What holding a batch came to, each a scalar tensor.

    Attributes:
        total: to be added to the loss.
        divergence: mean KL over the pictures whose neighbour is usable.
        flipped: share of them whose neighbour is predicted otherwise.
        dropped: share of pictures whose neighbour is not finite.
    """

    total: Tensor
    divergence: Tensor
    flipped: Tensor
    dropped: Tensor


class Smoothness:
    """Called with a batch of pictures, labelled or not, finds their neighbours and compares predictions.

    Args:
        network: on its device.
        settings: of a method that holds the distribution.
        generator: frozen, on the same device; None for VAT.
        images: the training pictures: where nothing is augmented their latents are computed now and kept.

    Raises:
        ValueError: a method that needs a generator and has none, or one of other pictures.
    """

    def __init__(
        self,
        network: SplitNetwork,
        settings: Settings,
        generator: Generator | None,
        images: ImageSet,
    ) -> None:
        wanted = settings.vat.generator
        if wanted and generator is None:
            raise ValueError(f"method {settings.method!r} needs its generator ({wanted.kind})")
        if wanted and generator is not None:
            _check_fits(generator, images)
        self.network, self.settings, self.generator = network, settings, generator
        self.neighbor = settings.vat.neighbor(generator if wanted else None)
        self.device = next(network.parameters()).device
        self.latents: list[Tensor] | None = None
        if wanted and not settings.augments:
            self.latents = self._all_latents(images.tensor())

    def _all_latents(self, pixels: Tensor) -> list[Tensor]:
        with torch.no_grad():
            parts = [
                self.neighbor.encode(standardise(part.to(self.device))) for part in pixels.split(64)
            ]
        return [torch.cat(level) for level in zip(*parts, strict=True)]

    def __call__(self, images: Tensor, positions: Tensor, generator: torch.Generator) -> Held:
        """The term of one batch.

        Args:
            images: ``(B, 3, H, W)``, standardised and augmented.
            positions: ``(B,)`` of the pictures in the training set.
            generator: which the search begins with.
        """
        known = self.latents and [level[positions] for level in self.latents]
        masks = _Masks(self.device)
        with quiet(self.network):

            def predict(x: Tensor) -> Tensor:
                masks.again()
                logits: Tensor = self.network(x)
                return logits

            start = self.neighbor.start(images, generator)
            found = self.neighbor.search(images, predict, start, latents=known or None)
            logits = predict(found.images)
            usable = found.usable.to(torch.float32)
            count = usable.sum().clamp(min=1)
            kl = (divergence(found.target, logits) * usable).sum() / count
            total = kl + _entropy(predict(images)) if self.settings.vat.entropy else kl
        flipped = (found.target.argmax(1) != logits.argmax(1)) * usable
        return Held(total, kl.detach(), flipped.sum() / count, 1 - usable.mean())


def _check_fits(generator: Generator, images: ImageSet) -> None:
    if generator.size != (size := images.images.shape[1]):
        raise ValueError(
            f"the generator is for pictures of {generator.size} pixels, and those of {images.name} have "
            f"{size}"
        )
    if generator.trained_on not in ("", images.fingerprint):
        raise ValueError(
            f"the generator was trained on other pictures ({generator.trained_on}) than those of "
            f"{images.name} ({images.fingerprint})"
        )


def _entropy(logits: Tensor) -> Tensor:
    log_p = wide(logits).log_softmax(1)
    return -(log_p.exp() * log_p).sum(1).mean()


@contextmanager
def quiet(network: nn.Module) -> Iterator[None]:
    """Batch normalisation with the statistics of the batch that leaves its running averages alone."""
    norms = [
        module
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
    try:
        for module in norms:
            module.track_running_stats = False
        yield
    finally:
        for module in norms:
            module.track_running_stats = True


class _Masks:
    """What dropout draws: every pass draws the same from the global generators."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cpu = torch.get_rng_state()
        self.gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def again(self) -> None:
        """Draw from here on what was drawn before."""
        torch.set_rng_state(self.cpu)
        if self.gpu is not None:
            torch.cuda.set_rng_state(self.gpu, self.device)
