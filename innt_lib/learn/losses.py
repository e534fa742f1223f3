"""The regulariser Reg_na (Eq. 5) and the training objectives built on it (Eq. 2, 10-14)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Norm = Literal["batch", "sample", "batch_rms"]
METHODS: dict[str, str] = {
    "baseline": "CE(clean): the plainly trained network",
    "nt": "CE(clean) + CE(noise): noise training (Eq. 12)",
    "nt_weighted": "lambda CE(clean) + (1 - lambda) CE(noise): Eq. 14 without Reg_na",
    "innt_origin": "CE(clean) + CE(noise) + Reg_na (Eq. 13)",
    "innt": "lambda CE(clean) + (1 - lambda) CE(noise) + Reg_na (Eq. 14)",
}


def activation_distance(
    clean: Tensor, noisy: Tensor, tau: float = 2e-3, norm: Norm = "batch"
) -> Tensor:
    r"""Noise activation distance :math:`Reg_{na} = \log(\tau\,\|A_{clean} - A_{noise}\|_2 + 1)` (Eq. 5).

    Args:
        clean, noisy: last convolutional maps of the clean and the noisy images, ``(B, K, h, w)``.
        tau: positive; the paper uses 2e-3.
        norm: over what the distance is taken. ``"batch"`` (default): one norm of the whole tensor,
            which grows with the square root of the batch; ``"sample"``: one norm an image, the
            logarithms averaged; ``"batch_rms"``: the batch norm divided by :math:`\sqrt{B}`.

    Returns:
        Scalar of at least 0, float32 or wider (low-precision maps are subtracted as given and
        summed in float32); its gradient at distance 0 is 0.

    Raises:
        ValueError: shapes differ; tau not positive; unknown norm.
    """
    if clean.shape != noisy.shape:
        raise ValueError(
            f"clean maps {tuple(clean.shape)} and noisy maps {tuple(noisy.shape)} must have one shape"
        )
    check_tau(tau)
    difference = _wide(clean - noisy).flatten(1)
    if norm == "sample":
        distance = torch.linalg.vector_norm(difference, dim=1)
    elif norm in get_args(Norm):
        distance = torch.linalg.vector_norm(difference)
        if norm == "batch_rms":
            distance = distance / math.sqrt(len(clean))
    else:
        raise ValueError(f"norm (={norm!r}) must be one of {', '.join(get_args(Norm))}")
    return torch.log1p(tau * distance).mean()


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
    r"""What a method minimises, by name (see ``METHODS``).

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
        return self.method != "baseline"

    @property
    def weights(self) -> tuple[float, float]:
        """Factors of the clean and of the noisy cross-entropy."""
        if self.method in ("innt", "nt_weighted"):
            return self.lambda_, 1 - self.lambda_
        return 1.0, float(self.uses_noise)

    @property
    def regularised(self) -> bool:
        """Whether Reg_na is part of the loss."""
        return self.method in ("innt_origin", "innt")

    def __call__(
        self,
        labels: Tensor,
        clean_logits: Tensor,
        clean_maps: Tensor,
        noisy_logits: Tensor | None = None,
        noisy_maps: Tensor | None = None,
    ) -> Loss:
        """The loss of one batch.

        Args:
            labels: ``(B,)`` int64, or probabilities ``(B, C)``.
            clean_logits, noisy_logits: ``(B, C)``, C at least 2; the noisy ones are left out for the
                baseline.
            clean_maps, noisy_maps: ``(B, K, h, w)``, the last convolutional maps.

        Raises:
            ValueError: one logit an image; no noisy logits or maps for a method that needs them.
        """
        if clean_logits.shape[1] < 2:
            raise ValueError("logits must be (B, C) with a column a class, two for a yes or no")
        clean = F.cross_entropy(_wide(clean_logits), labels)
        if not self.uses_noise:
            return Loss(clean, clean, torch.zeros_like(clean), torch.zeros_like(clean))
        if noisy_logits is None or noisy_maps is None:
            raise ValueError(f"method {self.method!r} needs the noisy images' logits and maps")
        noise = F.cross_entropy(_wide(noisy_logits), labels)
        if self.regularised:
            reg = activation_distance(clean_maps, noisy_maps, self.tau, self.norm)
        else:
            with torch.no_grad():
                reg = activation_distance(clean_maps, noisy_maps, self.tau, self.norm)
        clean_weight, noise_weight = self.weights
        total = clean_weight * clean + noise_weight * noise
        return Loss(total + reg if self.regularised else total, clean, noise, reg)


def check_tau(tau: float) -> None:
    """Raise ValueError unless tau is a positive finite number."""
    if isinstance(tau, str) or not (math.isfinite(tau) and tau > 0):
        raise ValueError(
            f"tau (={tau!r}) must be a positive number; innt_lib.learn.training.suggest_tau finds one"
        )


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
