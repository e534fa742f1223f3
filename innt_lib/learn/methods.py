"""The methods: which neighbour a picture is trained with, what is held between the two, what each weighs.

A method is one small object in ``METHODS``; the step, the loop, checkpoints, evaluation and tables
serve it as they are. Which neighbours there are is said by ``Settings.noise``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from innt_lib.learn.losses import Norm, activation_distance, check_tau, cross_entropy
from innt_lib.learn.weighing import Weighing


@dataclass(frozen=True)
class Method:
    """One way to train.

    Args:
        summary: what it minimises, in one line.
        neighbor: whether a picture has a neighbour in training.
        weights: of the cross-entropies of a picture and of its neighbour, given lambda.
        held: whether Reg_na holds their last convolutional maps together.
        weigh: which pictures weigh more than others; None: they weigh alike.
        ignores: settings that make no difference to it, so that they do not tell its runs apart.
    """

    summary: str
    neighbor: bool = True
    weights: Callable[[float], tuple[float, float]] = lambda lambda_: (1.0, 1.0)
    held: bool = False
    weigh: Weighing | None = None
    ignores: tuple[str, ...] = ()


def _shared(lambda_: float) -> tuple[float, float]:
    return lambda_, 1 - lambda_


_OF_NEIGHBOR = ("noise", "strength", "noise_range", "noise_form", "resample", "forward")
_PLAIN = (*_OF_NEIGHBOR, "lambda_", "tau", "norm")
METHODS: dict[str, Method] = {
    "baseline": Method(
        "CE(clean): the plainly trained network",
        neighbor=False,
        weights=lambda lambda_: (1.0, 0.0),
        ignores=_PLAIN,
    ),
    "nt": Method(
        "CE(clean) + CE(noise): noise training (Eq. 12)", ignores=("lambda_", "tau", "norm")
    ),
    "nt_weighted": Method(
        "lambda CE(clean) + (1 - lambda) CE(noise): Eq. 14 without Reg_na",
        weights=_shared,
        ignores=("tau", "norm"),
    ),
    "innt_origin": Method(
        "CE(clean) + CE(noise) + Reg_na (Eq. 13)", held=True, ignores=("lambda_",)
    ),
    "innt": Method(
        "lambda CE(clean) + (1 - lambda) CE(noise) + Reg_na (Eq. 14)", weights=_shared, held=True
    ),
    "consistency": Method(
        "v CE(clean), v = 1 - explanation consistency (Wu et al. 2024)",
        neighbor=False,
        weights=lambda lambda_: (1.0, 0.0),
        weigh=Weighing(),
        ignores=_PLAIN,
    ),
}


@dataclass(frozen=True)
class Loss:
    """The parts of one step's loss, each a scalar tensor (``noise`` and ``reg`` 0 where unused).

    ``total`` is what is differentiated; ``reg`` is always measured when there are noisy images,
    also for methods that do not train on it, so that methods can be compared.
    """

    total: Tensor
    clean: Tensor
    noise: Tensor
    reg: Tensor


@dataclass(frozen=True)
class Objective:
    r"""What a method minimises (Eq. 2, 10-14), by name (see ``METHODS``).

    Args:
        method: one of ``METHODS``.
        lambda_: weight of the clean loss in Eq. 14, in (0, 1); the paper uses 0.7.
        tau, norm: of :func:`activation_distance`.

    Raises:
        ValueError: unknown method; lambda outside (0, 1); tau not positive; unknown norm.
    """

    method: str = "innt"
    lambda_: float = 0.7
    tau: float = 2e-3
    norm: Norm = "batch"

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
        return METHODS[self.method].neighbor

    @property
    def weights(self) -> tuple[float, float]:
        """Factors of the clean and of the noisy cross-entropy."""
        return METHODS[self.method].weights(self.lambda_)

    @property
    def regularised(self) -> bool:
        """Whether Reg_na is part of the loss."""
        return METHODS[self.method].held

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
        return Loss(total + reg if self.regularised else total, clean, noise, reg)
