"""The regulariser Reg_na (Eq. 5): how far apart the maps of a picture and of its neighbour are."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

Norm = Literal["batch", "sample", "batch_rms"]


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
    difference = wide(clean - noisy).flatten(1)
    if norm == "sample":
        distance = torch.linalg.vector_norm(difference, dim=1)
    elif norm in get_args(Norm):
        distance = torch.linalg.vector_norm(difference)
        if norm == "batch_rms":
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


def wide(tensor: Tensor) -> Tensor:
    """Half precision as float32, others as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
