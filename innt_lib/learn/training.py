"""The training loop: epochs of :mod:`innt_lib.learn.step`, their history, and the state they go on from.

Given the same settings, the weights are the same bit for bit on CPU, also after an interruption.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from innt_lib.data import ImageSet
from innt_lib.learn.losses import Norm, activation_distance
from innt_lib.learn.monitor import Seen, accuracy, constant_maps, fell_silent, watch
from innt_lib.learn.settings import Settings
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.step import LOGGED, Step, autocast
from innt_lib.neighbors.noise import GaussianNoise
from innt_lib.system.environment import pick_device
from innt_lib.system.files import write
from innt_lib.system.progress import progress
from innt_lib.system.tensors import standardise


class DivergenceError(RuntimeError):
    """The loss became infinite or NaN; the message says where and what to try."""


def train(
    network: SplitNetwork,
    images: ImageSet,
    settings: Settings,
    *,
    monitor: ImageSet | None = None,
    device: str = "auto",
    state: Path | str | None = None,
    label: str = "training",
    after_epoch: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Train a network in place.

    Args:
        network: random or pretrained; ends on the device, in eval mode.
        images: the training images.
        settings: see :class:`Settings`.
        monitor: images whose accuracy is measured after every epoch; at most 256 are used.
        device: see :func:`innt_lib.system.environment.pick_device`.
        state: where to keep the state after every epoch; if the file exists, training goes on
            from it. It is left in place at the end.
        label: of the progress bar.
        after_epoch: called after every epoch, for whoever counts them in a bar of their own.

    Returns:
        One row an epoch: ``epoch``; means over the steps of ``loss`` and its parts ``clean``,
        ``noise``, ``reg``; ``train_clean``, ``train_noisy``, ``test_clean``, ``test_noisy``: top-1
        accuracies in [0, 1], and ``test_similarity``, that of the Grad-CAM maps of clean and noisy
        images (NaN where there is no noise or no monitor); ``collapsed``: 1 if the
        network ended the epoch with the same maps for every image, or with Reg_na below 1e-4 at an
        accuracy of chance (:mod:`innt_lib.learn.monitor`), else 0; where pictures are weighed, what
        :meth:`innt_lib.learn.picture_weights.PictureWeights.renew` found before the epoch.

    Raises:
        ValueError: batch larger than the training set, or of 1 with batch normalisation; a state
            from another kind of device, other settings (but ``epochs``) or other images; a head
            that changes its maps in place.
        DivergenceError: the loss became infinite or NaN; the last state stays.
        MemoryError: a step does not fit the GPU.
        OSError: the state could not be written; the last one stays.
    """
    check_batches(network, len(images), settings.batch_size)
    state = None if state is None else Path(state)
    loop = _Loop(network, images, settings, pick_device(device))
    if state is not None and state.exists():
        loop.restore(state)
    sample = None if monitor is None else _sample(monitor, 256)
    bar = progress(desc=label, unit="epoch", total=settings.epochs, initial=loop.epoch)
    # Dropout draws from the global generators: they are borrowed, and given back as they were.
    with bar, torch.random.fork_rng(devices=_cuda(loop.device)):
        loop.seed_global()
        try:
            while loop.epoch < settings.epochs:
                row = loop.run_epoch()
                row["collapsed"] = float(loop.collapsed(row))
                if sample is not None:
                    row |= loop.measure(sample)
                loop.history.append(row)
                if state is not None:
                    loop.save(state)
                bar.set_postfix(loss=f"{row['loss']:.3f}", accuracy=f"{row['train_clean']:.2f}")
                bar.update()
                after_epoch()
        finally:
            # It points back at the step: do not wait for garbage collection.
            loop.step.recorded = None
    network.eval()
    return pd.DataFrame(loop.history)


def suggest_tau(
    network: SplitNetwork,
    images: ImageSet | Tensor,
    batch_size: int,
    *,
    norm: Norm = "batch",
    start: float = 0.5,
) -> float:
    """The tau at which Reg_na of an untrained network starts out at ``start``.

    The paper's 2e-3 belongs to its networks at 224 pixels in batches of 8; other networks and sizes
    have larger or smaller maps. 0.5 is our choice, not measured in the paper's setting. Not for
    random networks without batch normalisation (AlexNet, VGG16): their untrained maps are small,
    and with the large tau that follows from that they can collapse: all maps equal, accuracy at
    chance. Measured in training mode on one batch of evenly spaced training images with Gaussian
    noise of strength 0.15, and rounded to two digits, so that it does not depend on the machine.
    The network's running statistics move, and it stays in training mode: give it one of its own.

    Args:
        images: the training images, or standardised ones ``(N, 3, H, W)``.
        batch_size: that of the training, on which the norm over a batch depends.

    Raises:
        ValueError: the maps of the clean and of the noisy images do not differ, or not by a finite
            number.
    """
    chosen = torch.linspace(0, len(images) - 1, min(batch_size, len(images))).long()
    if isinstance(images, Tensor):
        clean = images[chosen.to(images.device)]
    else:
        clean = standardise(images.select(chosen.numpy()).tensor())
    noisy = GaussianNoise(0.15)(clean, torch.Generator().manual_seed(0))
    with torch.no_grad():
        both = torch.cat([clean, noisy]).to(next(network.parameters()).device)
        clean_maps, noisy_maps = network.train().features(both).chunk(2)
        distance = float(activation_distance(clean_maps, noisy_maps, 1.0, norm))
        if not 0 < distance < math.inf:
            raise ValueError(
                f"no tau suits this network: at tau = 1 its Reg_na is {distance}; give tau a number"
            )
        # Reg_na grows with tau and passes start once: widen, then halve.
        low, high = 0.0, 1.0
        while activation_distance(clean_maps, noisy_maps, high, norm) < start:
            high *= 2
        for _ in range(40):
            middle = (low + high) / 2
            above = activation_distance(clean_maps, noisy_maps, middle, norm) > start
            low, high = (low, middle) if above else (middle, high)
    return float(f"{high:.1e}")


@dataclass
class _Loop:
    """Everything that a resumed training must find as it was."""

    network: SplitNetwork
    images: ImageSet
    settings: Settings
    device: torch.device
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    global_state: dict[str, Tensor] | None = None

    def __post_init__(self) -> None:
        self.step = Step(self.network, self.images, self.settings, self.device)
        # Separate streams: another augmentation or noise must not change the order of the data.
        order = torch.Generator().manual_seed(3 * self.settings.seed)
        self.generators = {"order": order, **self.step.generators}

    def run_epoch(self) -> dict[str, float]:
        weights, optimizer = self.step.weights, self.step.optimizer
        weighed = weights.renew(self.epoch, optimizer) if weights else {}
        self.network.train()
        if (phase := self.settings.at(self.epoch)) != self.step.phase:
            self.step.enter(phase)
        size = self.settings.batch_size
        order = torch.randperm(len(self.images), generator=self.generators["order"])
        order = order.to(self.step.pixels.device)
        steps = len(order) // size
        log = torch.zeros(steps, len(LOGGED), device=self.device)  # read once: no waiting inside
        for step in range(steps):
            try:
                log[step] = self.step(order[step * size : (step + 1) * size])
            except torch.OutOfMemoryError:
                raise MemoryError(
                    f"the GPU's memory does not hold a step with batch_size (={size}); try "
                    f"{max(1, size // 2)}, a smaller image size or precision='bfloat16'"
                ) from None
        losses = log[:, 0].cpu()
        if not losses.isfinite().all():
            step = int((~losses.isfinite()).nonzero()[0])
            raise DivergenceError(
                f"the loss became {losses[step]} in epoch {self.epoch + 1}, step {step + 1} of "
                f"{steps}, at learning rate {self.settings.learning_rate:g}; try a smaller "
                "learning_rate, a smaller tau or weaker noise"
            )
        self.epoch += 1
        row = dict(zip(LOGGED, log.double().mean(0).tolist(), strict=True))
        if self.step.noise is None:
            row |= dict.fromkeys(("noise", "reg", "train_noisy"), math.nan)
        return {"epoch": self.epoch} | row | weighed

    def collapsed(self, row: dict[str, float]) -> bool:
        """Whether the network says the same of everything, as a large tau can teach it."""
        few = _sample(self.images, max(2, self.settings.batch_size)).tensor().to(self.device)
        silent = fell_silent(
            row["reg"], row["train_clean"], len(self.images.classes), len(self.images)
        )
        return silent or constant_maps(self.network, standardise(few))

    def measure(self, images: ImageSet) -> dict[str, float]:
        """Accuracies, and how alike the maps are; the noisy copies are the same after every epoch."""
        noise = self.step.noise
        with autocast(self.device, self.settings.precision):
            if noise is None:
                seen = Seen(accuracy(self.network, images), math.nan, math.nan)
            else:
                seen = watch(self.network, images, noise)
        return {f"test_{name}": value for name, value in asdict(seen).items()}

    # --- state -----------------------------------------------------------------------------------

    def seed_global(self) -> None:
        # torch.manual_seed would seed every GPU, and only this one is given back.
        torch.default_generator.manual_seed(self.settings.seed)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(self.settings.seed)
        if self.global_state is not None:
            torch.set_rng_state(self.global_state["cpu"])
            if "cuda" in self.global_state:
                torch.cuda.set_rng_state(self.global_state["cuda"], self.device)

    def identity(self) -> dict[str, Any]:
        """What must not change between the parts of a training; its length may."""
        settings = {k: v for k, v in self.settings.identity.items() if k != "epochs"}
        return settings | {"images": self.images.fingerprint}

    def save(self, path: Path) -> None:
        state: dict[str, Any] = {
            "device": self.device.type,
            "training": self.identity(),
            "epoch": self.epoch,
            "history": self.history,
            "network": self.network.state_dict(),
            "optimizer": self.step.optimizer.state_dict(),
            "generators": {name: g.get_state() for name, g in self.generators.items()},
            "weights": self.step.weights and self.step.weights.values,
            "global": {"cpu": torch.get_rng_state()},
        }
        if self.device.type == "cuda":
            state["global"]["cuda"] = torch.cuda.get_rng_state(self.device)
        content = io.BytesIO()  # torch.save hides what goes wrong with a file
        torch.save(state, content)
        write(path, lambda stream: stream.write(content.getbuffer()))

    def restore(self, path: Path) -> None:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["device"] != self.device.type:
            raise ValueError(
                f"{path}: this training began on {state['device']} and cannot go on on "
                f"{self.device.type}; use device={state['device']!r}, or remove the file to begin anew"
            )
        began, now = state.get("training"), self.identity()
        if began is None:
            raise ValueError(f"{path}: left by an earlier version; remove the file to begin anew")
        if other := [f"{k} {began.get(k)}, now {now[k]}" for k in now if began.get(k) != now[k]]:
            raise ValueError(
                f"{path}: this training began otherwise ({'; '.join(other)}); go on as it began, or "
                "remove the file to begin anew"
            )
        self.epoch, self.history = state["epoch"], state["history"]
        self.network.load_state_dict(state["network"])
        self.step.optimizer.load_state_dict(state["optimizer"])
        for group in self.step.optimizer.param_groups:  # how, not what: not the file's to say
            group["capturable"] = self.step.optimizer.defaults["capturable"]
        for name, generator in self.generators.items():
            generator.set_state(state["generators"][name])
        if self.step.weights:
            self.step.weights.values.copy_(state["weights"])
        self.global_state = state["global"]


def check_batches(network: SplitNetwork, images: int, batch_size: int) -> None:
    """Raise ValueError if so many images cannot be batched like this for this network."""
    if batch_size > images:
        raise ValueError(f"batch_size (={batch_size}) is larger than the training set ({images})")
    normalised = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
    if batch_size == 1 and normalised:
        raise ValueError("batch_size (=1) does not work with batch normalisation; use at least 2")


def _sample(images: ImageSet, most: int) -> ImageSet:
    step = max(1, math.ceil(len(images) / most))
    return images.select(range(0, len(images), step))


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
