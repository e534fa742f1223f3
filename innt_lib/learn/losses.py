"""The cross-entropy, and Reg_na (Eq. 5): how far apart the maps of a picture and of its neighbour are."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from innt_lib.system.tensors import wide

Norm = Literal["batch", "sample", "batch_rms", "unit"]


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Mean cross-entropy of a batch, :math:`\frac{1}{B} \sum_i w_i\, CE_i`, a scalar of at least float32.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)`` int64, or probabilities ``(B, C)``.
        weights: w, ``(B,)``; if they are all 1, value and gradient are those of None, bit for bit.
    """
    plain = F.cross_entropy(wide(logits), labels)
    if weights is None:
        return plain
    # Not the mean of the weighted ones: that is summed in another order than PyTorch's own mean.
    each = F.cross_entropy(wide(logits), labels, reduction="none")
    return plain + ((weights - 1) * each).mean()


def activation_distance(
    clean: Tensor, noisy: Tensor, tau: float = 2e-3, norm: Norm = "batch"
) -> Tensor:
    r"""Noise activation distance :math:`Reg_{na} = \log(\tau\,\|A_{clean} - A_{noise}\|_2 + 1)` (Eq. 5).

    Args:
        clean, noisy: last convolutional maps of the clean and the noisy images, ``(B, K, h, w)``.
        tau: positive; the paper uses 2e-3.
        norm: over what the distance is taken. ``"batch"`` (default): one norm of the whole tensor,
            which grows with the square root of the batch; ``"sample"``: one norm an image, the
            logarithms averaged; ``"batch_rms"``: the batch norm divided by :math:`\sqrt{B}`;
            ``"unit"``: as ``"batch_rms"``, the maps of every image divided by their norm first, so that
            they cannot be brought together by making them small (ours, not the paper's).

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
    if norm == "unit":
        clean, noisy = (F.normalize(wide(maps).flatten(1)) for maps in (clean, noisy))
    difference = wide(clean - noisy).flatten(1)
    if norm == "sample":
        distance = torch.linalg.vector_norm(difference, dim=1)
    elif norm in get_args(Norm):
        distance = torch.linalg.vector_norm(difference)
        if norm in ("batch_rms", "unit"):
            distance = distance / math.sqrt(len(clean))
    else:
        raise ValueError(f"norm (={norm!r}) must be one of {', '.join(get_args(Norm))}")
    return torch.log1p(tau * distance).mean()


def check_tau(tau: float) -> None:
    """Raise ValueError unless tau is a positive finite number."""
    if isinstance(tau, str) or not (math.isfinite(tau) and tau > 0):
        raise ValueError(
            f"tau (={tau!r}) must be a positive number; innt_lib.learn.tau.suggest_tau finds one"
        )
