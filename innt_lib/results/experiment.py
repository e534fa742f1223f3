"""What the notebooks share: the settings of an experiment, each of which any of them takes.

A notebook's parameters cell names the few settings that are its subject. The others have the defaults
below, and can be given to any notebook all the same: ``papermill -p lambda_ 0.5``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

import matplotlib.pyplot as plt

from innt_lib import data
from innt_lib.learn.generation import Generation, Kind
from innt_lib.learn.methods import METHODS
from innt_lib.learn.virtual import Virtual
from innt_lib.neighbors import kind_of
from innt_lib.neighbors.latent import Target
from innt_lib.neighbors.noise import Form, Range
from innt_lib.neighbors.vat import Direction, Levels
from innt_lib.results import runs
from innt_lib.results.generator_runs import GeneratorRun
from innt_lib.results.parameters import check_kind, names_of, refuse_unknown
from innt_lib.results.runs import VARIANTS, Run
from innt_lib.system.environment import pick_device, pick_precision


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Which networks are trained how, on which data, and judged under which noises.

    Args:
        dataset: one of ``data.DATASETS``, or the path of an image folder.
        size: side of the images in pixels.
        networks: names, separated by commas; see :func:`innt_lib.learn.networks.build`.
        methods: names, separated by commas: of ``learn.methods.METHODS``, or ``nt_once`` or
            ``innt_scale_free``, and for LVAT ``lvat_vae`` or ``lvat_glow``.
        noises: names, separated by commas; see ``neighbors.NEIGHBORS``.
        weights: ``"none"``, ``"imagenet"`` or a checkpoint.
        mu_gaussian, mu_neighborhood: strengths of the two noises (Eq. 7 and 9).
        radius: of FGSM and PGD, in 1/255.
        severity: of corruptions, 1 to 5.
        noise_range, noise_form: readings of the two noises.
        epochs: passes over the training images.
        batch_size: images a step (as many neighbours come on top).
        learning_rate: of Adam.
        head_learning_rate: of the head, new where the features are pretrained; 0: the same.
        head_epochs: the first of the epochs, in which the head alone is trained.
        reg_warmup: epochs after those over which the weight of Reg_na grows from 0 to 1.
        tau: weight inside Reg_na (Eq. 5); ``"auto"``: so that Reg_na starts at 0.5.
        lambda_: weight of the clean images (Eq. 14).
        rotation, flip: augmentation: degrees to either side, mirroring (of generators too).
        labels: so many training pictures keep their labels; 0 for all.
        epsilon_vat, epsilon_vae, epsilon_glow: distance of VAT's neighbours (of pixels in [0, 1]) and of
            LVAT's (of latents).
        iterations, direction, entropy, target, levels: of VAT and LVAT, see ``learn.virtual.Virtual``.
        vae_width, latent_size: channels of the VAE, and numbers in its latents.
        glow_width, glow_blocks: channels in the couplings of the Glow, and its steps a scale.
        vae_epochs, glow_epochs, generator_batch: how the generators are trained beforehand.
        seeds: trainings of each cell.
        precision: ``"auto"``: bfloat16 on a GPU, float32 elsewhere; or one of the two.
        train_per_class, test_per_class: at most so many images of a class; 0 for all.
        split: ``"test"``, or ``"validation"``: judge on a fifth of the training images.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        figures_folder: where figures and tables are saved; empty: only shown.
        figures_format: ``"png"``; ``"pdf"`` or ``"svg"`` saves figures in that format too.

    Raises:
        ValueError: a value of another kind or out of range.
    """

    dataset: str = "birds"
    size: int = 32
    networks: str = "smallcnn"
    methods: str = "baseline,nt,innt"
    noises: str = "gaussian,neighborhood"
    weights: str = "none"
    mu_gaussian: float = 0.15
    mu_neighborhood: float = 1.0
    radius: float = 2.0
    severity: int = 3
    noise_range: Range = "image"
    noise_form: Form = "multiplicative"
    epochs: int = 16
    batch_size: int = 16
    learning_rate: float = 1e-3
    head_learning_rate: float = 0.0
    head_epochs: int = 0
    reg_warmup: int = 0
    tau: float | str = "auto"
    lambda_: float = 0.7
    rotation: float = 15.0
    flip: bool = True
    labels: int = 0
    epsilon_vat: float = 1.0
    epsilon_vae: float = 1.0
    epsilon_glow: float = 1.5
    iterations: int = 1
    direction: Direction = "adversarial"
    entropy: bool = False
    target: Target = "image"
    levels: Levels = "separate"
    vae_width: int = 64
    latent_size: int = 128
    glow_width: int = 64
    glow_blocks: int = 8
    vae_epochs: int = 30
    glow_epochs: int = 30
    generator_batch: int = 64
    seeds: int = 3
    precision: str = "auto"
    train_per_class: int = 0
    test_per_class: int = 0
    split: data.Split = "test"
    device: str = "auto"
    figures_folder: str = ""
    figures_format: str = "png"

    def __post_init__(self) -> None:
        for field in fields(self):
            check_kind(field.name, getattr(self, field.name), field.default)
        for name in ("mu_gaussian", "mu_neighborhood", "radius"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} (={getattr(self, name)}) must be a number of at least 0")
        for method in names_of(self.methods):
            if method not in (usable := [name for name in METHODS | VARIANTS if name != "lvat"]):
                known = ", ".join(usable)
                raise ValueError(f"method (={method!r}) must be one of {known}")
        if self.figures_format not in ("png", "pdf", "svg"):
            raise ValueError(f"figures_format (={self.figures_format!r}) must be png, pdf or svg")
        pick_device(self.device)
        self._grid(1.0 if self.tau == "auto" else self.tau)  # what a run refuses is refused here

    @classmethod
    def of(cls, namespace: Mapping[str, Any]) -> Experiment:
        """The experiment that a notebook's parameters describe: ``Experiment.of(globals())``.

        Args:
            namespace: the notebook's variables; those that are fields are taken.

        Raises:
            ValueError: a parameter given by papermill that neither the notebook nor the experiment
                knows (the nearest name is said); what the class refuses.
        """
        names = [field.name for field in fields(cls)]
        refuse_unknown(namespace.get("In", ()), names)
        experiment = cls(**{name: namespace[name] for name in names if name in namespace})
        plt.rcParams["savefig.format"] = experiment.figures_format
        return experiment

    @property
    def data_name(self) -> str:
        """What tables and texts call the data set: its name, or that of its folder."""
        return Path(self.dataset).name

    @property
    def architectures(self) -> list[str]:
        """The networks, one by one."""
        return names_of(self.networks)

    @property
    def architecture(self) -> str:
        """The network of an experiment that has one.

        Raises:
            ValueError: it has several.
        """
        if len(self.architectures) != 1:
            raise ValueError(f"networks (={self.networks!r}) must be a single one in this notebook")
        return self.architectures[0]

    @property
    def strengths(self) -> dict[str, float]:
        """Strength by noise."""
        return {name: float(getattr(self, kind_of(name).setting)) for name in names_of(self.noises)}

    def virtual(self) -> dict[str, Virtual]:
        """Settings of VAT and of LVAT with either generator, by the names of the methods."""
        names = ("iterations", "direction", "entropy", "target", "levels")
        shared = {name: getattr(self, name) for name in names}
        made = {"vat": Virtual(epsilon=self.epsilon_vat, **shared)}
        for kind in get_args(Kind):
            epsilon = getattr(self, f"epsilon_{kind}")
            made[f"lvat_{kind}"] = Virtual(
                epsilon=epsilon, generator=self.generation(kind), **shared
            )
        return made

    def generation(self, kind: Kind) -> Generation:
        """How a generator is trained beforehand."""
        return Generation(
            kind=kind, width=getattr(self, f"{kind}_width"), blocks=self.glow_blocks, latent=self.latent_size,
            epochs=getattr(self, f"{kind}_epochs"), batch_size=self.generator_batch,
            rotation=self.rotation, flip=self.flip,
        )  # fmt: skip

    def generator(self, kind: Kind) -> GeneratorRun:
        """The run of a generator on the training images."""
        return GeneratorRun(
            settings=self.generation(kind), dataset=self.dataset, size=self.size, split=self.split,
            train_per_class=self.train_per_class,
        )  # fmt: skip

    def grid(self, **changes: Any) -> list[Run]:
        """The runs of every network, method, noise and seed.

        Args:
            changes: other values for any of the fields.
        """
        changed = replace(self, **changes)
        return changed._grid(changed.tau)

    def run(self, network: str, **settings: Any) -> Run:
        """One training of a network, its tau resolved, with further settings of a run."""
        run = Run(network=network, **(self._common() | settings))
        return replace(run, tau=runs.suggest_tau(run) if isinstance(self.tau, str) else self.tau)

    def load_data(self) -> data.Splits:
        """The training and test images."""
        return Run(network=self.architectures[0], **self._common()).load_data()

    def changed(self) -> dict[str, Any]:
        """The settings that are not the defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

    def _grid(self, tau: float | str) -> list[Run]:
        return runs.grid(
            self.networks, self.methods, self.strengths, self.seeds, tau=tau, vat=self.virtual(),
            **self._common(),
        )  # fmt: skip

    def _common(self) -> dict[str, Any]:
        """What the runs of all cells share."""
        shared = {field.name for field in fields(Run)} & vars(self).keys()
        common = {name: getattr(self, name) for name in shared if name != "tau"}
        precision = pick_precision(self.precision, self.device)
        return common | {"precision": precision, "labels": self.labels or None}

    def _repr_html_(self) -> str:
        """What a notebook shows: all settings, those that are not the defaults in bold."""
        changed = self.changed()
        said = (
            f"<b>{k} = {v!r}</b>" if k in changed else f"{k} = {v!r}" for k, v in vars(self).items()
        )
        return f"<div style='max-width: 60em'><small>{' · '.join(said)}</small></div>"
