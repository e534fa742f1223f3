"""How a network is trained: every choice of the paper and every open reading, with its check."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from innt_lib.learn.losses import Norm
from innt_lib.learn.methods import METHODS, Objective
from innt_lib.learn.virtual import Virtual
from innt_lib.learn.weighing import Weighing
from innt_lib.neighbors import Neighbor, make_neighbor
from innt_lib.neighbors.noise import Form, Range
from innt_lib.system.environment import Precision

Forward = Literal["joint", "separate"]
# Left out of a run's identity at their defaults, so that runs of earlier versions keep their names.
LATER = {
    "vat": Virtual().identity, "labels": None, "weighing": None,
    "head_learning_rate": 0.0, "head_epochs": 0, "reg_warmup": 0,
}  # fmt: skip

_LEAST = {"epochs": 1, "batch_size": 1, "seed": 0, "head_epochs": 0, "reg_warmup": 0}


@dataclass(frozen=True)
class Phase:
    """What is trained in an epoch: the head alone or everything, and the weight of Reg_na in [0, 1]."""

    head_alone: bool
    reg_weight: float


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a network is trained; the defaults are the paper's (Table 2, Section 4.2).

    Args:
        method: one of ``methods.METHODS``.
        noise: the neighbour, one of ``neighbors.NEIGHBORS`` (``"none"`` for the baseline).
        strength: of it, at least 0: mu_G, mu_N, or the radius of an attack in 1/255.
        noise_range, noise_form: see :mod:`innt_lib.neighbors.noise`.
        resample: noise drawn anew for every batch (Section 3.4), or once per image (Section 3.1).
        forward: clean and noisy images in one ``"joint"`` pass, so that batch normalisation sees
            both, or in ``"separate"`` passes.
        lambda_, tau, norm: of Eq. 14 and Eq. 5, see :class:`innt_lib.learn.losses.Objective`.
        epochs, batch_size: a last incomplete batch is left out.
        learning_rate: of Adam, otherwise with its default settings.
        head_learning_rate: of the head, which is new where the features are pretrained; 0: the same.
        head_epochs: the first of the epochs, in which the head alone is trained and the features, running
            statistics included, stay as they are.
        reg_warmup: epochs over which the weight of Reg_na grows from 0 to 1, after those.
        rotation, flip: augmentation: degrees to either side, and mirroring half of the images.
        seed: of initialisation, data order, augmentation and noise.
        precision: ``"bfloat16"`` runs the network under autocast, the losses in float32.
        weighing: which pictures weigh more; None: as the method has it, which for most is none.
        vat: of the methods that hold the predicted distribution.
        labels: so many pictures, equally many of each class, keep their labels, drawn from ``seed``; the
            others are only what VAT and LVAT find neighbours of. None: all.

    Raises:
        ValueError: any value outside its range.
    """

    method: str = "innt"
    noise: str = "gaussian"
    strength: float = 0.15
    noise_range: Range = "image"
    noise_form: Form = "multiplicative"
    resample: bool = True
    forward: Forward = "joint"
    lambda_: float = 0.7
    tau: float = 2e-3
    norm: Norm = "batch"
    epochs: int = 30
    batch_size: int = 8
    learning_rate: float = 1e-3
    rotation: float = 15.0
    flip: bool = True
    seed: int = 0
    precision: Precision = "float32"
    head_learning_rate: float = 0.0
    head_epochs: int = 0
    reg_warmup: int = 0
    weighing: Weighing | None = None
    vat: Virtual = Virtual()
    labels: int | None = None

    def __post_init__(self) -> None:
        if self.objective().uses_noise:
            self.make_neighbor()
        if self.objective().smooth and (self.method == "lvat") != bool(self.vat.generator):
            wants = "needs a generator" if self.method == "lvat" else "takes no generator"
            raise ValueError(f"method (={self.method!r}) {wants}; lvat is the one that takes one")
        if self.labels is not None and self.labels < self.batch_size:
            raise ValueError(
                f"labels (={self.labels}) must be at least the batch_size (={self.batch_size})"
            )
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} (={getattr(self, name)}) must be at least {least}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate (={self.learning_rate}) must be a positive number")
        if not 0 <= self.head_learning_rate < math.inf:
            raise ValueError(
                f"head_learning_rate (={self.head_learning_rate}) must be a number of at least 0"
            )
        if self.head_epochs + self.reg_warmup >= self.epochs:
            raise ValueError(
                f"head_epochs (={self.head_epochs}) and reg_warmup (={self.reg_warmup}) must leave "
                f"some of the epochs (={self.epochs}) after them"
            )
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"rotation (={self.rotation}) must lie between 0 and 180 degrees")
        for name, valid in (("forward", get_args(Forward)), ("precision", get_args(Precision))):
            if getattr(self, name) not in valid:
                value = getattr(self, name)
                raise ValueError(f"{name} (={value!r}) must be one of {', '.join(valid)}")
        if self.weighing and self.method == "baseline":
            raise ValueError("method (='baseline') weighs all pictures alike; use 'consistency'")
        if self.weighs and self.labels is not None:
            raise ValueError(
                f"labels (={self.labels}) cannot be few where pictures are weighed: the weight of a "
                "picture is found by its label"
            )
        if self.weighs and self.weighs.warm_up >= self.epochs:
            raise ValueError(
                f"warm_up (={self.weighs.warm_up}) must be less than epochs (={self.epochs}), or no "
                "picture is ever weighed"
            )
        if self.weighs and self.at(self.epochs - 1).head_alone:
            raise ValueError(
                f"head_epochs (={self.head_epochs}) come again after warm_up (={self.weighs.warm_up}) and "
                f"must leave some of the epochs (={self.epochs}) after them"
            )

    @property
    def weighs(self) -> Weighing | None:
        """How the pictures are weighed; None: alike."""
        return self.weighing or METHODS[self.method].weigh

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that make a difference to the trained weights, sorted by name."""
        found = asdict(self) | {
            "vat": self.vat.identity, "weighing": self.weighs and asdict(self.weighs),
        }  # fmt: skip
        unchanged = [name for name, default in LATER.items() if found[name] == default]
        unused = (*METHODS[self.method].ignores, *unchanged)
        return {k: v for k, v in sorted(found.items()) if k not in unused}

    @property
    def augments(self) -> bool:
        """Whether pictures change from epoch to epoch."""
        return bool(self.rotation or self.flip)

    def at(self, epoch: int) -> Phase:
        """What is trained in an epoch, counted from 0, or from where it begins anew."""
        if self.weighs and self.weighs.anew and epoch >= self.weighs.warm_up:
            epoch -= self.weighs.warm_up
        after = epoch - self.head_epochs
        weight = min(1.0, after / self.reg_warmup) if self.reg_warmup else 1.0
        return Phase(head_alone=after < 0, reg_weight=max(0.0, weight))

    def objective(self, reg_weight: float = 1.0) -> Objective:
        """The loss these settings train on, with Reg_na weighted as in a warm-up."""
        return Objective(self.method, self.lambda_, self.tau, self.norm, reg_weight)

    def make_neighbor(self) -> Neighbor:
        """The neighbour that pictures are trained with."""
        return make_neighbor(self.noise, self.strength, self.noise_range, self.noise_form)
