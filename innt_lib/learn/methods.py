"""The methods: which neighbour a picture is trained with, what is held between the two, what each weighs.

A method is one small object in ``METHODS``; the step, the loop, checkpoints, evaluation and tables
serve it as they are. Which neighbours there are is said by ``Settings.noise``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from innt_lib.learn.losses import Norm, activation_distance, check_tau, cross_entropy
from innt_lib.learn.weighing import Weighing

Near = Literal["none", "noise", "pixels", "latent"]
Held = Literal["nothing", "maps", "distribution"]


@dataclass(frozen=True)
class Method:
    """One way to train.

    Args:
        summary: what it minimises, in one line.
        neighbor: of a picture in training: ``"none"``; that named by ``Settings.noise``; or, of pictures
            without a label too, the virtual adversarial one among the ``"pixels"`` or in a ``"latent"``
            space, as ``Settings.vat`` says.
        weights: of the cross-entropies of a picture and of its neighbour, given lambda.
        held: together with the neighbour's: the last convolutional ``"maps"``, by Reg_na, or the predicted
            ``"distribution"``, by KL.
        weigh: which pictures weigh more than others; None: they weigh alike.
        ignores: settings that make no difference to it, so that they do not tell its runs apart.
    """

    summary: str
    neighbor: Near = "noise"
    weights: Callable[[float], tuple[float, float]] = lambda lambda_: (1.0, 1.0)
    held: Held = "nothing"
    weigh: Weighing | None = None
    ignores: tuple[str, ...] = ()


def _shared(lambda_: float) -> tuple[float, float]:
    return lambda_, 1 - lambda_


def _clean_alone(lambda_: float) -> tuple[float, float]:
    return 1.0, 0.0


_OF_NOISE = ("noise", "strength", "noise_range", "noise_form", "resample", "forward")
_OF_MAPS_HELD = ("tau", "norm", "reg_warmup")
_OF_CLEAN_ALONE = (*_OF_NOISE, "lambda_", *_OF_MAPS_HELD)
METHODS: dict[str, Method] = {
    "baseline": Method(
        "CE(clean): the plainly trained network",
        neighbor="none",
        weights=_clean_alone,
        ignores=(*_OF_CLEAN_ALONE, "vat"),
    ),
    "nt": Method(
        "CE(clean) + CE(noise): noise training (Eq. 12)",
        ignores=("lambda_", *_OF_MAPS_HELD, "vat"),
    ),
    "nt_weighted": Method(
        "lambda CE(clean) + (1 - lambda) CE(noise): Eq. 14 without Reg_na",
        weights=_shared,
        ignores=(*_OF_MAPS_HELD, "vat"),
    ),
    "innt_origin": Method(
        "CE(clean) + CE(noise) + Reg_na (Eq. 13)", held="maps", ignores=("lambda_", "vat")
    ),
    "innt": Method(
        "lambda CE(clean) + (1 - lambda) CE(noise) + Reg_na (Eq. 14)", weights=_shared, held="maps",
        ignores=("vat",),
    ),
    "consistency": Method(
        "v CE(clean), v = 1 - explanation consistency (Wu et al. 2024)",
        neighbor="none",
        weights=_clean_alone,
        weigh=Weighing(),
        ignores=(*_OF_CLEAN_ALONE, "vat"),
    ),
    "vat": Method(
        "CE(clean) + KL(p(x) || p(x + r)): virtual adversarial training (Miyato et al. 2018)",
        neighbor="pixels",
        weights=_clean_alone,
        held="distribution",
        ignores=_OF_CLEAN_ALONE,
    ),
    "lvat": Method(
        "CE(clean) + KL(p(x) || p(Dec(Enc(x) + r))): the same in latent space (Osada et al. 2020)",
        neighbor="latent",
        weights=_clean_alone,
        held="distribution",
        ignores=_OF_CLEAN_ALONE,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Loss:
    """The parts of one step's loss, each a scalar tensor (``noise`` and ``reg`` 0 where unused).

    ``total`` is what is differentiated; ``reg`` is Reg_na, always measured when there are noisy images,
    also for methods that do not train on it, so that methods can be compared; or the KL that is held.
    """

    total: Tensor
    clean: Tensor
    noise: Tensor
    reg: Tensor


@dataclass(frozen=True)
class Objective:
    r"""What a method minimises (Eq. 2, 10-14), by name (see ``METHODS``).

    Of VAT and LVAT it is the cross-entropy alone, to which :class:`innt_lib.learn.smoothness.Smoothness` adds
    what is held; explanation consistency is in the ``picture_weights`` that are given.

    Args:
        method: one of ``METHODS``.
        lambda_: weight of the clean loss in Eq. 14, in (0, 1); the paper uses 0.7.
        tau, norm: of :func:`activation_distance`.
        reg_weight: of Reg_na, in [0, 1]; below 1 while it is warmed up.

    Raises:
        ValueError: unknown method; lambda outside (0, 1); tau not positive; unknown norm.
    """

    method: str = "innt"
    lambda_: float = 0.7
    tau: float = 2e-3
    norm: Norm = "batch"
    reg_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method (={self.method!r}) must be one of {', '.join(METHODS)}")
        if not 0 < self.lambda_ < 1:
            raise ValueError(f"lambda (={self.lambda_}) must lie between 0 and 1, both excluded")
        check_tau(self.tau)
        if self.norm not in get_args(Norm):
            raise ValueError(f"norm (={self.norm!r}) must be one of {', '.join(get_args(Norm))}")

    @property
    def uses_noise(self) -> bool:
        """Whether training needs noisy copies."""
        return METHODS[self.method].neighbor == "noise"

    @property
    def weights(self) -> tuple[float, float]:
        """Factors of the clean and of the noisy cross-entropy."""
        return METHODS[self.method].weights(self.lambda_)

    @property
    def regularised(self) -> bool:
        """Whether Reg_na is part of the loss."""
        return METHODS[self.method].held == "maps"

    @property
    def smooth(self) -> bool:
        """Whether the predicted distribution is held, see :mod:`innt_lib.learn.smoothness`."""
        return METHODS[self.method].held == "distribution"

    def __call__(
        self,
        labels: Tensor,
        clean_logits: Tensor,
        clean_maps: Tensor,
        noisy_logits: Tensor | None = None,
        noisy_maps: Tensor | None = None,
        picture_weights: Tensor | None = None,
    ) -> Loss:
        """The loss of one batch.

        Args:
            labels: ``(B,)`` int64, or probabilities ``(B, C)``.
            clean_logits, noisy_logits: ``(B, C)``, C at least 2; the noisy ones are left out for the
                baseline.
            clean_maps, noisy_maps: ``(B, K, h, w)``, the last convolutional maps.
            picture_weights: ``(B,)``, of both cross-entropies of a picture; all 1 if None.

        Raises:
            ValueError: one logit an image; no noisy logits or maps for a method that needs them.
        """
        if clean_logits.shape[1] < 2:
            raise ValueError("logits must be (B, C) with a column a class, two for a yes or no")
        clean = cross_entropy(clean_logits, labels, picture_weights)
        if not self.uses_noise:
            return Loss(clean, clean, torch.zeros_like(clean), torch.zeros_like(clean))
        if noisy_logits is None or noisy_maps is None:
            raise ValueError(f"method {self.method!r} needs the noisy images' logits and maps")
        noise = cross_entropy(noisy_logits, labels, picture_weights)
        if self.regularised:
            reg = activation_distance(clean_maps, noisy_maps, self.tau, self.norm)
        else:
            with torch.no_grad():
                reg = activation_distance(clean_maps, noisy_maps, self.tau, self.norm)
        clean_weight, noise_weight = self.weights
        total = clean_weight * clean + noise_weight * noise
        return Loss(total + self.reg_weight * reg if self.regularised else total, clean, noise, reg)
