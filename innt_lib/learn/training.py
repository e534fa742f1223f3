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
from innt_lib.learn.batches import batches, labelled
from innt_lib.learn.generators import Generator
from innt_lib.learn.monitor import Seen, accuracy, constant_maps, fell_silent, watch
from innt_lib.learn.settings import Settings
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.step import Step, autocast
from innt_lib.system.environment import pick_device
from innt_lib.system.files import write
from innt_lib.system.progress import progress
from innt_lib.system.tensors import seeded, standardise


class DivergenceError(RuntimeError):
    """The loss became infinite or NaN; the message says where and what to try."""


def train(
    network: SplitNetwork,
    images: ImageSet,
    settings: Settings,
    *,
    monitor: ImageSet | None = None,
    generator: Generator | None = None,
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
        generator: of LVAT, frozen.
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
        :meth:`innt_lib.learn.picture_weights.PictureWeights.renew` found before the epoch. For VAT and
        LVAT ``reg`` is the KL, and ``flipped`` and ``dropped`` are the shares of
        :class:`innt_lib.learn.smoothness.Held`.

    Raises:
        ValueError: batch larger than the training set, or of 1 with batch normalisation; a state
            from another kind of device, other settings (but ``epochs``), images or network; a head
            that changes its maps in place; labels that cannot be drawn; LVAT's generator missing or misfit.
        DivergenceError: the loss became infinite or NaN, or most of what LVAT's generator decodes is not
            finite; the last state stays.
        MemoryError: a step does not fit the GPU.
        OSError: the state could not be written; the last one stays.
    """
    check_batches(network, len(images), settings.batch_size)
    state = None if state is None else Path(state)
    loop = _Loop(network, images, settings, pick_device(device), generator)
    if state is not None and state.exists():
        loop.restore(state)
    sample = None if monitor is None else _sample(monitor, 256)
    bar = progress(desc=label, unit="epoch", total=settings.epochs, initial=loop.epoch)
    # Dropout draws from the global generators: they are borrowed, and given back as they were.
    with bar, seeded(settings.seed, loop.device):
        loop.restore_global()
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
            loop.step.leave()
    network.eval()
    return pd.DataFrame(loop.history)


@dataclass
class _Loop:
    """Everything that a resumed training must find as it was."""

    network: SplitNetwork
    images: ImageSet
    settings: Settings
    device: torch.device
    generator: Generator | None = None
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    global_state: dict[str, Tensor] | None = None

    def __post_init__(self) -> None:
        self.step = Step(self.network, self.images, self.settings, self.device, self.generator)
        count, labels, classes = self.settings.labels, self.images.labels, len(self.images.classes)
        self.chosen = (
            torch.from_numpy(labelled(labels, count, classes, self.settings.seed))
            if count
            else None
        )
        # Separate streams: another augmentation or noise must not change the order of the data.
        order = torch.Generator().manual_seed(3 * self.settings.seed)
        self.generators = {"order": order, **self.step.generators}

    def run_epoch(self) -> dict[str, float]:
        weights, optimizer = self.step.weights, self.step.optimizer
        weighed = weights.renew(self.epoch, optimizer) if weights else {}
        self.network.train()
        if (phase := self.settings.at(self.epoch)) != self.step.phase:
            self.step.enter(phase)
        if phase.head_alone:
            self.network.features.eval()  # running statistics stay as the weights do
        size, home = self.settings.batch_size, self.step.pixels.device
        both, steps = self.step.smoothness is not None, len(self.images) // size
        order = batches(len(self.images), size, self.generators["order"], self.chosen, both)
        log = torch.zeros(steps, len(self.step.logged), device=self.device)  # read once: no waiting
        for step, batch in enumerate(order):
            try:
                log[step] = self.step(*(rows.to(home) for rows in batch))
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
        row = dict(zip(self.step.logged, log.double().mean(0).tolist(), strict=True))
        if row.get("dropped", 0) > 0.5:
            raise DivergenceError(
                f"the generator blows up: {100 * row['dropped']:.0f} % of the neighbours of epoch "
                f"{self.epoch} are not finite, at epsilon {self.settings.vat.epsilon:g}; try a smaller one"
            )
        if self.step.noise is None:
            held = ("reg",) if self.step.smoothness is None else ()
            row |= dict.fromkeys(("noise", *held, "train_noisy"), math.nan)
        return {"epoch": self.epoch} | row | weighed

    def collapsed(self, row: dict[str, float]) -> bool:
        """Whether the network says the same of everything, as a large tau can teach it."""
        few = _sample(self.images, max(2, self.settings.batch_size)).tensor().to(self.device)
        silent = self.step.objective.regularised and fell_silent(
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

    def restore_global(self) -> None:
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
        names = sorted(began.keys() | now.keys())  # defaults are left out of either
        if other := [k for k in names if began.get(k) != now.get(k)]:
            said = [f"{k} {began.get(k)}, now {now.get(k)}" for k in other]
            raise ValueError(
                f"{path}: this training began otherwise ({'; '.join(said)}); go on as it began, or "
                "remove the file to begin anew"
            )
        networks = state["network"], self.network.state_dict()
        left, right = ({name: value.shape for name, value in n.items()} for n in networks)
        if left != right:
            name = min(k for k in left.keys() | right.keys() if left.get(k) != right.get(k))
            raise ValueError(
                f"{path}: this training began with another network ({name}); go on with that, or "
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
        raise ValueError("batch_size (=1) is refused with batch normalisation; use at least 2")


def _sample(images: ImageSet, most: int) -> ImageSet:
    step = max(1, math.ceil(len(images) / most))
    return images.select(range(0, len(images), step))
