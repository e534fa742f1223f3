"""What a run is: parameters that name it, a folder that holds what came of it."""

from __future__ import annotations

import abc
import functools
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from innt_lib import data
from innt_lib.learn import networks
from innt_lib.learn.generation import Generation
from innt_lib.learn.settings import Settings
from innt_lib.learn.virtual import Virtual
from innt_lib.learn.zoo import own_standardisation
from innt_lib.system import paths
from innt_lib.system.files import write

# What grids and tables call a method trained in another way than by default.
VARIANTS: dict[str, dict[str, Any]] = {
    "nt_once": {"method": "nt", "resample": False},
    "innt_scale_free": {"method": "innt", "norm": "unit"},
    "lvat_vae": {"method": "lvat", "vat": Virtual(generator=Generation(kind="vae"))},
    "lvat_glow": {"method": "lvat", "vat": Virtual(generator=Generation(kind="glow"))},
}


class BaseRun(abc.ABC):
    """What is trained once: its parameters name a folder, and a last file there says that it is done."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Readable, with a hash of everything that makes a difference."""

    @property
    def directory(self) -> Path:
        """Where everything about it is kept."""
        return paths.runs_dir() / self.name

    @property
    def finished(self) -> bool:
        """Whether what was trained is there."""
        return (self.directory / "run.json").is_file()


def short_hash(content: str) -> str:
    """Eight letters that stand for a text."""
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def safe_name(dataset: str) -> str:
    """A data set's name, or that of its folder, as a part of a file's."""
    return re.sub(r"[^\w.]+", "_", Path(dataset).name)


@dataclass(frozen=True, kw_only=True)
class Run(Settings, BaseRun):
    """One training: what :class:`Settings` says, of which network, on which data.

    Args:
        dataset: one of ``data.DATASETS``, or the path of an image folder.
        size: side of the square images in pixels.
        network: one of ``networks.NETWORKS``.
        weights: ``"none"``, ``"imagenet"`` or a checkpoint, see :func:`networks.build`.
        split: ``"test"``; or ``"validation"`` to hold out a fifth of the training images for
            choosing settings, and leave the test images alone.
        train_per_class, test_per_class: at most so many images of each class; 0 for all.
        on_bad: ``"error"``, or ``"skip"`` to leave out what is broken, see :func:`data.load`.
    """

    dataset: str = "birds"
    size: int = 32
    network: str = "smallcnn"
    weights: str = "none"
    split: data.Split = "test"
    train_per_class: int = 0
    test_per_class: int = 0
    on_bad: data.OnBad = "error"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "dataset", str(self.dataset))  # a Path has no place in run.json
        networks.check_network(self.network)

    @property
    def label(self) -> str:
        """What tables call its method: one of ``methods.METHODS`` or of ``VARIANTS``."""
        if self.objective().smooth and self.vat.generator:
            return f"{self.method}_{self.vat.generator.kind}"
        for label, fields in VARIANTS.items():
            if all(getattr(self, name) == value for name, value in fields.items()):
                return label
        return self.method

    @property
    def identity(self) -> dict[str, Any]:
        """The parameters that make a difference to the trained weights."""
        found = {k: v for k, v in super().identity.items() if k not in ("test_per_class", "on_bad")}
        if pixels := own_standardisation(
            self.network
        ):  # runs of versions that ignored them are others
            found["pixels"] = pixels
        return found

    @property
    def name(self) -> str:
        """Readable, with a hash of everything that makes a difference."""
        noise = f"-{self.noise}{self.strength:g}" if self.objective().uses_noise else ""
        if self.objective().smooth:
            kind = f"-{self.vat.generator.kind}" if self.vat.generator else ""
            noise = f"{kind}-{self.vat.epsilon:g}"
        if self.labels:
            noise += f"-{self.labels}labels"
        network, digest = self.network.replace("/", "_"), short_hash(json.dumps(self.identity))
        about = f"{safe_name(self.dataset)}{self.size}-{network}-{self.method}{noise}"
        return f"{about}-s{self.seed}-{digest}"

    def load_data(self) -> data.Splits:
        """The training and test images, read once a process."""
        return load_images(
            self.dataset, self.size, self.split, self.train_per_class, self.test_per_class,
            self.on_bad,
        )  # fmt: skip


@functools.lru_cache(maxsize=4)
def load_images(
    dataset: str, size: int, split: data.Split, train_per_class: int, test_per_class: int,
    on_bad: data.OnBad,
) -> data.Splits:  # fmt: skip
    """What :func:`innt_lib.data.load` reads, remembered for the runs that share it."""
    return data.load(
        dataset, size, split=split, train_per_class=train_per_class,
        test_per_class=test_per_class, on_bad=on_bad,
    )  # fmt: skip


def kept(run: Run, kind: str, what: object, measured: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """A table about a finished run: measured now, or read from the run's folder.

    Args:
        run: finished.
        kind: what the table's file is called.
        what: all that makes a difference to it, for JSON; anything else is another file.
        measured: makes the table.
    """
    path = run.directory / f"{kind}-{short_hash(json.dumps(what, sort_keys=True))}.csv"
    if not path.is_file():
        with FileLock(run.directory / ".lock"):
            if not path.is_file():  # made by another process meanwhile
                text = measured().to_csv(index=False)
                write(path, lambda stream: stream.write(text.encode()))
    return pd.read_csv(path)
