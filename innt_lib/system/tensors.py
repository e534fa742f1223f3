"""What every room knows of tensors: standardised pixels, seeded draws, and a network run as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's channels, for every data set: one convention
STD = (0.229, 0.224, 0.225)


def wide(values: Tensor) -> Tensor:
    """Whole numbers and half precision as float32, others as they are."""
    return values if values.dtype == torch.float64 else values.float()


def standardise(images: Tensor) -> Tensor:
    """Scale to [0, 1], subtract `MEAN` and divide by `STD`, on the device of the images.

    uint8 (B, H, W, 3) becomes float32 (B, 3, H, W), laid out in memory as channels last.

    Raises:
        ValueError: another dtype or shape.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(
            f"images must be uint8 of shape (B, H, W, 3), not {images.dtype} of "
            f"{tuple(images.shape)}"
        )
    mean, std = constants(images.device)
    return images.permute(0, 3, 1, 2).to(torch.float32).sub_(mean).div_(std)


@cache
def constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """`MEAN` and `STD` in units of 1/255, float32 `(3, 1, 1)`; kept, as a copy to the device waits for it."""
    mean, std = (torch.tensor(c, device=device).view(3, 1, 1) * 255 for c in (MEAN, STD))
    return mean, std


def to_pixels(images: Tensor) -> Tensor:
    """Standardised images `(B, 3, H, W)` in [0, 1], where what they were drawn from lies."""
    mean, std = (constant.to(images.dtype) / 255 for constant in constants(images.device))
    return torch.addcmul(mean, images, std)


def from_pixels(pixels: Tensor) -> Tensor:
    """Pixels `(B, 3, H, W)` in [0, 1], standardised; nothing is clipped."""
    mean, std = (constant.to(pixels.dtype) / 255 for constant in constants(pixels.device))
    return (pixels - mean) / std


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """PyTorch's global generators from a seed, and as they were afterwards.

    Initialisation and dropout draw from them.

    Args:
        seed: at least 0.
        device: a GPU whose generator is seeded too; those of others are left alone.
    """
    gpus = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def evaluating(*parts: object) -> Iterator[None]:
    """Evaluation mode for modules and those that a method is of; every submodule's own mode afterwards."""
    owners = [getattr(part, "__self__", part) for part in parts]
    modules = [
        module for part in owners if isinstance(part, nn.Module) for module in part.modules()
    ]
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
