"""One optimiser step: the same for every method, network and device.

A batch is standardised, augmented and noised on the device, its clean and noisy halves go through
the network together, and the gradient of the objective moves the weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.learn import capture
from innt_lib.learn.augment import augmentation, transform
from innt_lib.learn.generators import Generator
from innt_lib.learn.picture_weights import PictureWeights
from innt_lib.learn.settings import Phase, Settings
from innt_lib.learn.smoothness import Smoothness
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors import Corruption, near, near_fixed
from innt_lib.system.tensors import standardise

LOGGED = ("loss", "clean", "noise", "reg", "train_clean", "train_noisy")


class Step:
    """Called with the positions of a batch's images, updates the network once.

    On a GPU the work is recorded as a CUDA graph and replayed (see :mod:`innt_lib.learn.capture`), unless
    the noise is drawn once per image or is a corruption, or predictions are held (VAT, LVAT).

    Args:
        network: moved to the device and updated in place; whoever calls sets its mode.
        images: the training images, kept as one uint8 array.
        settings: the objective, the noise, the augmentation, the optimiser and the seed.
        device: where it runs.
        generator: of LVAT, frozen; moved to the device.

    Positions ``(B,)`` int64, on the device of :attr:`pixels`, and for VAT and LVAT those of a second batch
    whose labels are not looked at; returns ``(6,)`` float32 on the device, named by :attr:`logged`: the
    loss and its parts, top-1 accuracies in [0, 1] (0 for what a method does not have), and for VAT and
    LVAT the shares of :class:`innt_lib.learn.smoothness.Held`.

    Raises:
        ValueError: a head that changes its maps in place; a generator that is missing or does not fit.
    """

    def __init__(
        self,
        network: SplitNetwork,
        images: ImageSet,
        settings: Settings,
        device: torch.device,
        generator: Generator | None = None,
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings, self.device = settings, device
        self.objective = settings.objective()
        self.noise = settings.make_neighbor() if self.objective.uses_noise else None
        self.pixels = _resident(images, device)
        self.labels = torch.from_numpy(images.labels).to(self.pixels.device)
        self.weights: PictureWeights | None = None
        if weighing := settings.weighs:
            self.weights = PictureWeights(network, images, weighing, settings.seed, self.pixels)
        gpu = device.type == "cuda"
        redrawn = self.noise is None or settings.resample  # else every image has a generator
        whole = not isinstance(self.noise, Corruption)  # some of which work on the CPU
        held = self.objective.smooth
        record = gpu and redrawn and whole and not held and capture.wanted()
        self.smoothness: Smoothness | None = None
        if held:
            frozen = None if generator is None else generator.to(device)
            self.smoothness = Smoothness(self.network, settings, frozen, images)
        self.logged = (*LOGGED, "flipped", "dropped") if held else LOGGED
        self.optimizer = torch.optim.Adam(
            _groups(network, settings), lr=settings.learning_rate, fused=gpu, capturable=record
        )
        self.generators = {
            "augment": torch.Generator(device).manual_seed(3 * settings.seed + 1),
            "noise": torch.Generator(device).manual_seed(3 * settings.seed + 2),
        }
        self.record = record
        # Those that are frozen when it begins stay so.
        self.learned = [p for p in network.features.parameters() if p.requires_grad]
        self.enter(settings.at(0))

    def enter(self, phase: Phase) -> None:
        """Train what a phase says from now on; what was recorded of another is dropped."""
        self.phase = phase
        self._learn_features(not phase.head_alone)
        self.objective = self.settings.objective(phase.reg_weight)
        self.recorded: capture.Recorded | None = None
        if self.record:
            self.recorded = capture.Recorded(self.update, self.device, self.generators.values())

    def leave(self) -> None:
        """Give the network back as learnable as it came, and drop what was recorded."""
        self._learn_features(True)
        self.recorded = None  # it points back at the step: do not wait for garbage collection

    def _learn_features(self, learn: bool) -> None:
        for parameter in self.learned:
            parameter.requires_grad_(learn)

    def __call__(self, positions: Tensor, others: Tensor | None = None) -> Tensor:
        batch = [self.pixels[positions], self.labels[positions], positions]
        if others is not None:
            batch += [self.pixels[others], others]
        update = self.recorded or self.update
        return update(*(tensor.to(self.device) for tensor in batch))

    def update(
        self,
        pixels: Tensor,
        labels: Tensor,
        positions: Tensor,
        other_pixels: Tensor | None = None,
        others: Tensor | None = None,
    ) -> Tensor:
        """The step itself, on uint8 pixels and labels that are on the device."""
        clean, noisy = self.views(standardise(pixels), labels, positions)
        with autocast(self.device, self.settings.precision):
            clean_out, noisy_out = self.forward(clean, noisy)
            weights = self.weights.of_batch(positions) if self.weights else None
            noisy_logits, noisy_maps = noisy_out or (None, None)
            loss = self.objective(labels, *clean_out, noisy_logits, noisy_maps, weights)
            shares: tuple[Tensor, ...] = ()
            if self.smoothness is not None and other_pixels is not None and others is not None:
                seen = self.augmented(standardise(other_pixels))
                held = self.smoothness(seen, others, self.generators["noise"])
                loss = replace(loss, total=loss.total + held.total, reg=held.divergence)
                shares = (held.flipped, held.dropped)
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        self.optimizer.step()
        with torch.no_grad():
            logits = (clean_out[0], noisy_out[0] if noisy_out else None)
            parts = (loss.total, loss.clean, loss.noise, loss.reg)
            accuracies = (_accuracy(of, labels) for of in logits)
            return torch.stack([*(part.detach() for part in parts), *accuracies, *shares])

    def augmented(self, images: Tensor) -> Tensor:
        """Each of a batch turned and mirrored at random."""
        settings, generator = self.settings, self.generators["augment"]
        return transform(
            images, augmentation(len(images), settings.rotation, settings.flip, generator)
        )

    def views(
        self, clean: Tensor, labels: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The augmented clean batch and its neighbours, both seen from the same angle."""
        settings = self.settings
        clean = self.augmented(clean)
        if self.noise is None:
            return clean, None
        with autocast(self.device, settings.precision):  # for attacks, which run the network
            if settings.resample:
                drawn = self.generators["noise"]
                return clean, near(self.noise, clean, labels, self.network, drawn)
            # Drawn for what the network sees: turned with the picture it would lose a third of its
            # strength to the interpolation. Seed 0 is that of the test images' noise.
            seed = settings.seed + 1
            return clean, near_fixed(self.noise, clean, positions, seed, labels, self.network)

    def forward(
        self, clean: Tensor, noisy: Tensor | None
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, ...]]:
        """Logits and maps of the clean and of the noisy images (the latter empty without noise)."""
        if noisy is None:
            maps = self.network.features(clean)
            return (self._head(maps), maps), ()
        if self.settings.forward == "joint":
            maps = self.network.features(torch.cat([clean, noisy]))
            logits = self._head(maps)
            (c_logits, n_logits), (c_maps, n_maps) = logits.chunk(2), maps.chunk(2)
            return (c_logits, c_maps), (n_logits, n_maps)
        c_maps, n_maps = self.network.features(clean), self.network.features(noisy)
        return (self._head(c_maps), c_maps), (self._head(n_maps), n_maps)

    def _head(self, maps: Tensor) -> Tensor:
        version = maps._version
        logits: Tensor = self.network.head(maps)
        if maps._version != version:
            raise ValueError(
                "the network's head changes the maps it is given (a ReLU with inplace=True at its "
                "start?), so that Reg_na would not compare those that the CAMs explain; use "
                "inplace=False there, or move that layer into the features"
            )
        return logits


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bfloat16 where it pays, for precision ``"bfloat16"``; float32 otherwise."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def _groups(network: SplitNetwork, settings: Settings) -> list[dict[str, Any]]:
    """The parameters, in one group unless the head has a learning rate of its own."""
    if not settings.head_learning_rate:
        return [{"params": network.parameters()}]
    head = {"params": network.head.parameters(), "lr": settings.head_learning_rate}
    return [{"params": network.features.parameters()}, head]


def _resident(images: ImageSet, device: torch.device) -> Tensor:
    """The uint8 pixels, on the device if they take less than half of its free memory."""
    pixels = images.tensor()
    if device.type == "cuda" and pixels.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        return pixels.to(device)
    return pixels


def _accuracy(logits: Tensor | None, labels: Tensor) -> Tensor:
    if logits is None:
        return torch.zeros((), device=labels.device)
    return (logits.argmax(1) == labels).float().mean()
