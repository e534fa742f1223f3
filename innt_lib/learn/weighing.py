"""How much each picture weighs in training: by explanation consistency (Wu et al. 2024), or by a control.

After that paper's published description. A weight is made from v in [0, 1], which says how badly a
picture fares; what v is made of, how it is probed and when, is here. How it is measured:
:mod:`innt_lib.learn.consistency`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from innt_lib.explain.gradient_cams import GRADIENT_CAMS
from innt_lib.neighbors import Attack

By = Literal["consistency", "flips", "maps", "loss", "mistakes"]
Distance = Literal["l1", "cosine", "iou"]
Mask = Literal["threshold", "fraction", "soft", "box", "segmentation", "none", "foreground"]
Target = Literal["predicted", "label"]
Normalise = Literal["dataset", "batch", "none"]


@dataclass(frozen=True, kw_only=True)
class Weighing:
    r"""Which pictures weigh more in the cross-entropy: those with a large v.

    Args:
        by: ``"consistency"``: :math:`v = 1 - E`, that is 1 where an attack on the background flips the
            prediction, else the distance D of the heat maps before and after it. Its halves:
            ``"flips"`` (1 or 0) and ``"maps"`` (D alone). Its rivals: ``"loss"``, :math:`1 - p_y`;
            ``"mistakes"``, as in JTT (Liu et al. 2021): what is wrong at the end of the warm-up weighs
            ``upweight`` times as much, and the training begins anew.
        shuffled: the weights are dealt out to the pictures at random, each time: a control with the same
            weights and no information.
        distance: D in [0, 1]: ``"l1"``, mean absolute difference; ``"cosine"``, 1 - cosine; ``"iou"``,
            1 - sum of minima / sum of maxima.
        mask: the background is where the picture's own map is below ``threshold`` of its maximum
            (``"threshold"``), is not among its hottest ``threshold`` of the pixels (``"fraction"``), or
            everywhere by 1 - map (``"soft"``); or it is what lies outside the true ``"box"`` or
            ``"segmentation"`` (oracles: no part of the method). ``"none"``: everything is attacked;
            ``"foreground"``: what ``"threshold"`` spares.
        threshold: in (0, 1).
        radius, steps: of the attack, in 1/255; one step is FGSM, more are PGD from the picture itself.
        cam, target: the map: one of ``GRADIENT_CAMS``, of the class ``"predicted"`` on the clean picture
            or of the ``"label"``.
        normalise: to mean 1 over the ``"dataset"`` or in each ``"batch"``; ``"none"``: v as printed.
        floor: the share of every weight that does not depend on v, in [0, 1].
        warm_up: epochs without weights, at least 0.
        every: weights are made anew after so many epochs, at least 1.
        upweight: of ``"mistakes"``, at least 1.

    Raises:
        ValueError: any value that is not one of these.
    """

    by: By = "consistency"
    shuffled: bool = False
    distance: Distance = "l1"
    mask: Mask = "threshold"
    threshold: float = 0.5
    radius: float = 8.0
    steps: int = 1
    cam: str = "gradcam"
    target: Target = "predicted"
    normalise: Normalise = "dataset"
    floor: float = 0.0
    warm_up: int = 5
    every: int = 1
    upweight: float = 5.0

    def __post_init__(self) -> None:
        known = {
            "by": get_args(By), "distance": get_args(Distance), "mask": get_args(Mask),
            "target": get_args(Target), "normalise": get_args(Normalise), "cam": tuple(GRADIENT_CAMS),
        }  # fmt: skip
        for name, choices in known.items():
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name} (={value!r}) must be one of {', '.join(choices)}")
        for name, ok, what in (
            ("threshold", 0 < self.threshold < 1, "between 0 and 1, both excluded"),
            ("floor", 0 <= self.floor <= 1, "between 0 and 1"),
            ("warm_up", self.warm_up >= 0, "at least 0"),
            ("every", self.every >= 1, "at least 1"),
            ("upweight", self.upweight >= 1, "at least 1"),
        ):
            if not ok:
                raise ValueError(f"{name} (={getattr(self, name)}) of a weighing must be {what}")
        _ = self.attack  # which checks its radius and its steps

    @property
    def attack(self) -> Attack:
        """The attack that probes a picture."""
        return Attack(self.radius, self.steps, random_start=False)

    @property
    def attacks(self) -> bool:
        """Whether v needs the attack at all."""
        return self.by in ("consistency", "flips", "maps")

    @property
    def anew(self) -> bool:
        """Whether the training begins anew once the pictures are weighed."""
        return self.by == "mistakes"

    def due(self, epochs: int) -> bool:
        """Whether weights are made after so many epochs."""
        if self.anew:
            return epochs == self.warm_up
        return epochs >= self.warm_up and (epochs - self.warm_up) % self.every == 0

    def weights(self, v: Tensor, seed: int) -> Tensor:
        r"""Weights :math:`\rho + (1 - \rho)\,v / \bar v`, with :math:`\rho` the ``floor``.

        Args:
            v: ``(N,)`` in [0, 1] (or above, of mistakes).
            seed: of the shuffling.

        Returns:
            ``(N,)`` of mean 1, unless ``normalise="none"``; all 1 if all v are 0.
        """
        if self.shuffled:
            generator = torch.Generator().manual_seed(seed)
            v = v[torch.randperm(len(v), generator=generator).to(v.device)]
        mean = v.double().mean()
        if mean == 0:
            return torch.ones_like(v)
        scaled = v if self.normalise == "none" else (v.double() / mean).to(v.dtype)
        return self.floor + (1 - self.floor) * scaled


def effective(weights: Tensor) -> float:
    r"""The share of the pictures that carry the weight: :math:`(\sum w)^2 / (N \sum w^2)`, in (0, 1]."""
    wide = weights.double()
    return float(wide.sum() ** 2 / (len(wide) * wide.square().sum()))
