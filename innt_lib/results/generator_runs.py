"""Generators as runs: their parameters name a folder, and a finished one is never trained again.

runs/digits32-vae-s0-1f2e3d4c/
    run.json              parameters, data fingerprint, versions, device, timings
    history.csv           one row an epoch
    weights.safetensors   the trained generator
    state.pt              only while unfinished
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from innt_lib import data
from innt_lib.learn.batches import labelled
from innt_lib.learn.generation import Generation, build_generator, load_generator
from innt_lib.learn.generators import Generator
from innt_lib.learn.networks import save_checkpoint
from innt_lib.learn.pretraining import train_generator
from innt_lib.results.run import BaseRun, Run, load_images, safe_name, short_hash
from innt_lib.system.environment import device_name, pick_device, versions
from innt_lib.system.files import sweep, write


@dataclass(frozen=True, kw_only=True)
class GeneratorRun(BaseRun):
    """One training of a generator on the training pictures of a data set, without their labels.

    Args:
        settings: which generator, and how it is trained.
        dataset, size, split, train_per_class, on_bad: as of :class:`innt_lib.results.run.Run`.
    """

    settings: Generation
    dataset: str
    size: int
    split: data.Split = "test"
    train_per_class: int = 0
    on_bad: data.OnBad = "error"

    @property
    def name(self) -> str:
        """Readable, with a hash of everything that makes a difference."""
        identity = self.settings.identity | {
            "dataset": self.dataset, "size": self.size, "split": self.split,
            "train_per_class": self.train_per_class,
        }  # fmt: skip
        about = f"{safe_name(self.dataset)}{self.size}-{self.settings.kind}-s{self.settings.seed}"
        return f"{about}-{short_hash(json.dumps(identity, sort_keys=True))}"

    def load_data(self) -> data.Splits:
        """The training and test pictures, read once a process."""
        return load_images(
            self.dataset, self.size, self.split, self.train_per_class, 0, self.on_bad
        )


def behind(run: Run) -> GeneratorRun | None:
    """The run of the generator that a classifier is trained with, which saw the same pictures."""
    if not (run.objective().smooth and run.vat.generator):
        return None
    return GeneratorRun(
        settings=run.vat.generator,
        dataset=run.dataset,
        size=run.size,
        split=run.split,
        train_per_class=run.train_per_class,
        on_bad=run.on_bad,
    )


def labelled_ids(run: Run) -> list[str] | None:
    """Ids of the pictures that keep their labels in a run; None: all.

    Raises:
        ValueError: they cannot be drawn.
    """
    if run.labels is None:
        return None
    images = run.load_data().train
    chosen = labelled(images.labels, run.labels, len(images.classes), run.seed)
    return [images.ids[i] for i in chosen]


def ensure(
    run: GeneratorRun, device: str = "auto", after_epoch: Callable[[], object] = lambda: None
) -> None:
    """Train a generator unless that is done; a killed training goes on where it stopped.

    Raises:
        ValueError: settings that do not suit the pictures; data that have changed since.
        FileNotFoundError: data missing.
        BlownUpError: too many of its steps had no finite gradient.
    """
    images = run.load_data()
    if not run.finished:
        run.directory.mkdir(parents=True, exist_ok=True)
        with FileLock(run.directory / ".lock"):
            if not run.finished:
                _train(run, images, device, after_epoch)
    record = json.loads((run.directory / "run.json").read_text())
    if (known := record["data"]["train"]) != (now := images.train.fingerprint):
        raise ValueError(
            f"the data of {run.dataset!r} changed since the generator {run.directory} was trained "
            f"({known} then, {now} now); remove that folder to train anew"
        )


def load(run: GeneratorRun, device: str = "auto") -> Generator:
    """The trained generator of a run, trained now if need be: frozen, on the device."""
    ensure(run, device)
    made = _load(run.settings, run.size, run.directory / "weights.safetensors")
    made.trained_on = run.load_data().train.fingerprint
    return made.to(pick_device(device))


@functools.lru_cache(maxsize=4)
def _load(settings: Generation, size: int, path: Path) -> Generator:
    return load_generator(settings, size, path)


def history(run: GeneratorRun) -> pd.DataFrame:
    """One row an epoch of a finished run, as of :func:`innt_lib.learn.pretraining.train_generator`."""
    return pd.read_csv(run.directory / "history.csv")


def _train(
    run: GeneratorRun, images: data.Splits, device: str, after_epoch: Callable[[], object]
) -> None:
    sweep(run.directory)
    generator = build_generator(run.settings, run.size)
    state, started = run.directory / "state.pt", time.perf_counter()
    table = train_generator(
        generator, images.train, run.settings, test=images.test, device=device, state=state,
        label=run.name, after_epoch=after_epoch,
    )  # fmt: skip
    record: dict[str, Any] = {
        "parameters": asdict(run),
        "data": {"train": images.train.fingerprint, "images": len(images.train)},
        "weights": sum(p.numel() for p in generator.parameters()),
        "seconds": round(time.perf_counter() - started, 2),
        "device": device_name(pick_device(device)),
        "versions": versions(),
    }
    save_checkpoint(generator, run.directory / "weights.safetensors")
    text, content = table.to_csv(index=False), json.dumps(record, indent=2) + "\n"
    write(run.directory / "history.csv", lambda stream: stream.write(text.encode()))
    # run.json comes last: its presence is what makes the run finished.
    write(run.directory / "run.json", lambda stream: stream.write(content.encode()))
    state.unlink(missing_ok=True)
