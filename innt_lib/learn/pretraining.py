"""The loop that a generator is trained in beforehand, and the state that a killed training goes on from."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.learn.augment import augmentation, transform
from innt_lib.learn.generation import Generation
from innt_lib.learn.generators import Generator, freeze
from innt_lib.system.environment import pick_device
from innt_lib.system.files import write
from innt_lib.system.progress import progress
from innt_lib.system.tensors import standardise, to_pixels

WARM_UP = 20  # steps over which the learning rate grows
LARGEST = 500.0  # norm of a gradient, in nats a picture; a longer one is cut to it
MOST_SKIPPED = 0.1  # of the steps of an epoch


class BlownUpError(RuntimeError):
    """Too many steps of a generator had no finite gradient; the message says which and what to try."""


def train_generator(
    generator: Generator,
    images: ImageSet,
    settings: Generation,
    *,
    test: ImageSet | None = None,
    device: str = "auto",
    state: Path | None = None,
    label: str = "training a generator",
    after_epoch: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Train a generator in place; it ends on the device, frozen, in evaluation mode.

    A flow divides by numbers that may come near 0: a step whose gradient is not finite is skipped and
    counted, as in training at mixed precision.

    Args:
        generator: untrained, of :func:`innt_lib.learn.generation.build_generator`.
        images: the training pictures; labels are not looked at.
        settings: see :class:`Generation`.
        test: pictures whose bits a dimension are measured after every epoch; at most 256 are used.
        device: see :func:`innt_lib.system.environment.pick_device`.
        state: where to keep the state after every epoch; if the file exists, training goes on from it.
        label: of the progress bar.
        after_epoch: called after every epoch, for whoever counts them in a bar of their own.

    Returns:
        One row an epoch: ``epoch``; ``loss``, mean over the steps, in nats a picture; ``skipped``: how many
        steps were; ``bits`` a dimension of the test pictures, NaN where there is no likelihood.

    Raises:
        ValueError: batch larger than the training set; a state that began otherwise.
        BlownUpError: more than a tenth of an epoch's steps would be skipped; the last state stays.
    """
    if settings.batch_size > len(images):
        raise ValueError(
            f"batch_size (={settings.batch_size}) of the generator is larger than the training set "
            f"({len(images)})"
        )
    loop = _Loop(generator, images, settings, pick_device(device))
    if state is not None and state.exists():
        loop.restore(state)
    with progress(desc=label, unit="epoch", total=settings.epochs, initial=loop.epoch) as bar:
        while loop.epoch < settings.epochs:
            row = loop.run_epoch()
            row["bits"] = loop.bits(test)
            loop.history.append(row)
            if state is not None:
                loop.save(state)
            bar.set_postfix(loss=f"{row['loss']:.1f}")
            bar.update()
            after_epoch()
    freeze(generator).trained_on = images.fingerprint
    return pd.DataFrame(loop.history)


class _Loop:
    """Everything that a resumed training must find as it was."""

    def __init__(
        self, generator: Generator, images: ImageSet, settings: Generation, device: torch.device
    ) -> None:
        self.generator = generator.to(device)
        self.images, self.settings, self.device = images, settings, device
        self.pixels = images.tensor()
        self.epoch, self.steps = 0, 0
        self.history: list[dict[str, float]] = []
        self.optimizer = torch.optim.Adam(generator.parameters(), lr=settings.learning_rate)
        self.generators = {
            "order": torch.Generator().manual_seed(3 * settings.seed),
            "augment": torch.Generator(device).manual_seed(3 * settings.seed + 1),
            "noise": torch.Generator(device).manual_seed(3 * settings.seed + 2),
        }

    def run_epoch(self) -> dict[str, float]:
        self.generator.train()
        size = self.settings.batch_size
        order = torch.randperm(len(self.images), generator=self.generators["order"])
        log = torch.zeros(len(order) // size, device=self.device)
        for step in range(len(log)):
            log[step] = self.update(order[step * size : (step + 1) * size])
        skipped = (~log.isfinite()).nonzero().flatten().tolist()
        if len(skipped) > MOST_SKIPPED * len(log):
            raise BlownUpError(
                f"the {self.settings.kind} blew up: in epoch {self.epoch + 1} the gradient was not finite in "
                f"{len(skipped)} of {len(log)} steps, first in step {skipped[0] + 1}, at learning rate "
                f"{self.settings.learning_rate:g}; try a smaller one"
            )
        self.epoch += 1
        mean = float(log.double().nanmean())
        return {"epoch": self.epoch, "loss": mean, "skipped": len(skipped)}

    def update(self, rows: Tensor) -> Tensor:
        """One step; its loss, NaN if it was skipped."""
        rate = self.settings.learning_rate * min(1, (self.steps + 1) / WARM_UP)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.steps += 1
        loss = self.generator.loss(self.batch(rows), self.generators["noise"])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.generator.parameters(), LARGEST)
        if not norm.isfinite():
            return torch.full_like(norm, math.nan)
        self.optimizer.step()
        return loss.detach()

    def batch(self, rows: Tensor) -> Tensor:
        images = standardise(self.pixels[rows].to(self.device))
        settings = self.settings
        if settings.rotation or settings.flip:
            drawn = self.generators["augment"]
            images = transform(
                images, augmentation(len(images), settings.rotation, settings.flip, drawn)
            )
        return to_pixels(images).clamp_(0, 1)

    @torch.no_grad()
    def bits(self, images: ImageSet | None) -> float:
        if images is None or not self.generator.bits:
            return math.nan
        chosen = torch.linspace(0, len(images) - 1, min(256, len(images))).long()
        pixels = to_pixels(standardise(images.tensor()[chosen].to(self.device)))
        parts = [self.generator.eval().bits_per_dim(part) for part in pixels.split(64)]
        return float(torch.cat(parts).mean())

    def identity(self) -> dict[str, Any]:
        """What must not change between the parts of a training; its length may."""
        kept = {k: v for k, v in self.settings.identity.items() if k != "epochs"}
        return kept | {"images": self.images.fingerprint, "device": self.device.type}

    def save(self, path: Path) -> None:
        content = io.BytesIO()
        state = {
            "training": self.identity(),
            "epoch": self.epoch,
            "steps": self.steps,
            "history": self.history,
            "generator": self.generator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generators": {name: g.get_state() for name, g in self.generators.items()},
        }
        torch.save(state, content)
        write(path, lambda stream: stream.write(content.getbuffer()))

    def restore(self, path: Path) -> None:
        state = torch.load(path, map_location="cpu", weights_only=True)
        began, now = state["training"], self.identity()
        if other := [f"{k} {began.get(k)}, now {now[k]}" for k in now if began.get(k) != now[k]]:
            raise ValueError(
                f"{path}: this training began otherwise ({'; '.join(other)}); go on as it began, or "
                "remove the file to begin anew"
            )
        self.epoch, self.steps, self.history = state["epoch"], state["steps"], state["history"]
        self.generator.load_state_dict(state["generator"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, generator in self.generators.items():
            generator.set_state(state["generators"][name])
