"""What a run is: parameters that name it, a folder that holds what came of it."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from innt_lib import data
from innt_lib.learn import networks
from innt_lib.learn.generation import Generation
from innt_lib.learn.settings import Settings
from innt_lib.learn.virtual import Virtual
from innt_lib.system import paths

# What grids and tables call a method trained in another way than by default.
VARIANTS: dict[str, dict[str, Any]] = {
    "nt_once": {"method": "nt", "resample": False},
    "innt_scale_free": {"method": "innt", "norm": "unit"},
    "lvat_vae": {"method": "lvat", "vat": Virtual(generator=Generation(kind="vae"))},
    "lvat_glow": {"method": "lvat", "vat": Virtual(generator=Generation(kind="glow"))},
}


@dataclass(frozen=True, kw_only=True)
class Run(Settings):
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
        return {k: v for k, v in super().identity.items() if k not in ("test_per_class", "on_bad")}

    @property
    def name(self) -> str:
        """Readable, with a hash of everything that makes a difference."""
        digest = hashlib.sha256(json.dumps(self.identity).encode()).hexdigest()[:8]
        noise = f"-{self.noise}{self.strength:g}" if self.objective().uses_noise else ""
        if self.objective().smooth:
            kind = f"-{self.vat.generator.kind}" if self.vat.generator else ""
            noise = f"{kind}-{self.vat.epsilon:g}"
        if self.labels:
            noise += f"-{self.labels}labels"
        dataset = re.sub(r"[^\w.]+", "_", Path(self.dataset).name)
        network = self.network.replace("/", "_")
        return f"{dataset}{self.size}-{network}-{self.method}{noise}-s{self.seed}-{digest}"

    @property
    def directory(self) -> Path:
        """Where everything about the run is kept."""
        return paths.runs_dir() / self.name

    @property
    def finished(self) -> bool:
        """Whether the trained network is there."""
        return (self.directory / "run.json").is_file()

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
