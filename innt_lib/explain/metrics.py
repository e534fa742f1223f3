"""The paper's measures (Eq. 15-18, top-k accuracy), one value an image: intervals need no less.

All functions take and return tensors on one device. A value that cannot be known
is NaN, never a silent 0: average the others with ``torch.nanmean`` and say how many there were.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from innt_lib.system.tensors import wide

Convention = Literal["standard", "as_printed"]


def drop(clean: Tensor, noisy: Tensor, *, convention: Convention = "standard") -> Tensor:
    r"""One image's part in Average Drop; the mean over images is the measure (lower is better).

    Args:
        clean: :math:`Y_c`, the class's probability on the clean image, ``(N,)``, at least 0.
        noisy: :math:`Y_n`, its probability on what the noisy image's map shows, ``(N,)``.
        convention: ``"standard"``: :math:`\max(0, Y_c - Y_n) / Y_c` (Chattopadhay et al. 2018);
            ``"as_printed"``: :math:`1[Y_n < Y_c]`, the paper's Eq. 16 to the letter.

    Returns:
        ``(N,)`` in [0, 1]; 0 for :math:`Y_c = 0`, which cannot drop; NaN where a score is NaN.

    Raises:
        ValueError: shapes differ or are not ``(N,)``; a negative score; unknown convention.
    """
    _check_scores(clean, noisy, convention)
    return _below(noisy, clean) if convention == "as_printed" else _shortfall(noisy, clean)


def increase(clean: Tensor, noisy: Tensor, *, convention: Convention = "standard") -> Tensor:
    r"""One image's part in Average Increase; the mean over images is the measure (higher: better).

    Args:
        clean, noisy: as for ``drop``.
        convention: ``"standard"``: :math:`1[Y_n > Y_c]` (Chattopadhay et al. 2018);
            ``"as_printed"``: :math:`\max(0, Y_n - Y_c) / Y_n`, the paper's Eq. 15 to the letter.

    Returns:
        ``(N,)`` in [0, 1]; 0 for :math:`Y_n = 0`; NaN where a score is NaN.

    Raises:
        ValueError: as for ``drop``.
    """
    _check_scores(clean, noisy, convention)
    return _shortfall(clean, noisy) if convention == "as_printed" else _below(clean, noisy)


def ebpg(maps: Tensor, boxes: Tensor) -> Tensor:
    r"""Energy-based pointing game (Eq. 17): the share of a map's energy that lies in the box.

    Args:
        maps: ``(N, H, W)``, at least 0.
        boxes: ``(N, 4)``: x0, y0, x1, y1 in pixels, x along W and y along H. Edges, not centres:
            pixel ``[i, j]`` covers x from j to j + 1 and y from i to i + 1, and (0, 0, W, H) is the
            whole image. A pixel cut by an edge counts with the fraction of its area inside; what
            lies outside the image counts nothing.

    Returns:
        ``(N,)`` in [0, 1]; 0 for an empty box; NaN for an all-zero map or a box with a NaN.

    Raises:
        ValueError: shapes; a negative map; a box with x1 < x0 or y1 < y0.
    """
    if maps.ndim != 3 or boxes.shape != (len(maps), 4):
        raise ValueError(
            f"maps (of shape {tuple(maps.shape)}) must be (N, H, W) and boxes (of shape "
            f"{tuple(boxes.shape)}) (N, 4)"
        )
    if (maps < 0).any():
        raise ValueError(f"maps (with {float(maps.min()):g}) must be nonnegative")
    if (wrong := (boxes[:, 2:] < boxes[:, :2]).any(1)).any():
        raise ValueError(
            f"box {boxes[wrong][0].tolist()} must be x0, y0, x1, y1 with x0 <= x1 and y0 <= y1 "
            "(is it x, y, width, height?)"
        )
    maps = wide(maps)
    x0, y0, x1, y1 = boxes.to(maps.dtype).unbind(1)
    columns = _coverage(x0, x1, maps.shape[2])
    rows = _coverage(y0, y1, maps.shape[1])
    # Not a matrix product: that may run in TF32, and a whole-image box must give exactly 1.
    inside = (maps * rows[:, :, None] * columns[:, None, :]).sum((1, 2))
    total = maps.sum((1, 2))
    return torch.where(total == 0, torch.nan, inside / total).clamp(max=1)


def aepe(ebpg_clean: Tensor, ebpg_noisy: Tensor, *, signed: bool = False) -> Tensor:
    r"""One image's pointing error; the mean over images is AEPE (Eq. 18; lower is better).

    Args:
        ebpg_clean, ebpg_noisy: ``ebpg`` of the clean and the noisy image's map, ``(N,)``.
        signed: keep the sign, as printed, so that errors of opposite sign cancel in the mean;
            by default :math:`|EBPG_{clean} - EBPG_{noise}|`.

    Returns:
        ``(N,)``; NaN where either is NaN.

    Raises:
        ValueError: shapes differ or are not ``(N,)``.
    """
    _check_pair("ebpg_clean", ebpg_clean, "ebpg_noisy", ebpg_noisy, 1)
    difference = ebpg_clean - ebpg_noisy
    return difference if signed else difference.abs()


def inside_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """The pixels whose middle lies in a box.

    Args:
        boxes: ``(N, 4)`` as for :func:`ebpg`.
        height, width: of the images.

    Returns:
        ``(N, height, width)`` bool; none for a box with a NaN.
    """
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    rows, columns = (torch.arange(n, device=boxes.device) + 0.5 for n in (height, width))
    inside_x, inside_y = (columns > x0) & (columns < x1), (rows > y0) & (rows < y1)
    return inside_y[:, :, None] & inside_x[:, None, :]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of two regions.

    Args:
        a, b: ``(N, H, W)`` bool.

    Returns:
        ``(N,)`` in [0, 1]; NaN if both are empty.
    """
    return (a & b).sum((1, 2)) / (a | b).sum((1, 2))


def map_similarity(clean: Tensor, noisy: Tensor) -> Tensor:
    """Pearson correlation over pixels between an image's clean and noisy maps.

    Args:
        clean, noisy: ``(N, H, W)``.

    Returns:
        ``(N,)`` in [-1, 1]; NaN where either map is flat.

    Raises:
        ValueError: shapes differ or are not ``(N, H, W)``.
    """
    _check_pair("clean", clean, "noisy", noisy, 3)
    a, b = wide(clean).flatten(1), wide(noisy).flatten(1)
    flat = (a.amax(1) == a.amin(1)) | (b.amax(1) == b.amin(1))
    a, b = (_unit(m - m.mean(1, keepdim=True)) for m in (a, b))
    return torch.where(flat, torch.nan, (a * b).sum(1).clamp(-1, 1))


def topk_correct(logits: Tensor, labels: Tensor, k: int = 1) -> Tensor:
    """1 where the label is among the k highest logits, else 0.

    Args:
        logits: ``(N, C)``.
        labels: integer ``(N,)``, 0 to C - 1.
        k: 1 to C.

    Returns:
        ``(N,)`` float32. Of equal logits the lower class comes first; a NaN comes before any
        number and is never a hit, so that a diverged network scores 0.

    Raises:
        ValueError: shapes; labels out of range; k below 1 or above C.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits (of shape {tuple(logits.shape)}) must be (N, C) and labels (of shape "
            f"{tuple(labels.shape)}) (N,)"
        )
    classes = logits.shape[1]
    if not 1 <= k <= classes:
        raise ValueError(f"k (={k}) must lie in 1 to the number of classes, {classes}")
    if wrong := labels[(labels < 0) | (labels >= classes)].tolist():
        raise ValueError(f"labels (with {wrong[0]}) must lie in 0 to {classes - 1}")
    label = labels.long()[:, None]
    own = logits.gather(1, label)
    after = torch.arange(classes, device=logits.device) >= label
    behind = (logits < own) | ((logits == own) & after)
    return ((~behind).sum(1) < k).float()


def _below(lower: Tensor, upper: Tensor) -> Tensor:
    """1 where lower < upper, else 0."""
    return torch.where(lower.isnan() | upper.isnan(), torch.nan, (lower < upper).to(lower.dtype))


def _shortfall(lower: Tensor, upper: Tensor) -> Tensor:
    """By which share of upper does lower fall short of it?"""
    return (upper - lower).clamp(min=0) / torch.where(upper == 0, 1, upper)


def _coverage(start: Tensor, end: Tensor, pixels: int) -> Tensor:
    """Fraction of each pixel's width between start and end, ``(N, pixels)``."""
    left = torch.arange(pixels, device=start.device, dtype=start.dtype)
    return (torch.minimum(end[:, None], left + 1) - torch.maximum(start[:, None], left)).clamp(0)


def _unit(rows: Tensor) -> Tensor:
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def _check_scores(clean: Tensor, noisy: Tensor, convention: str) -> None:
    if convention not in get_args(Convention):
        raise ValueError(
            f"convention (={convention!r}) must be one of {', '.join(get_args(Convention))}"
        )
    _check_pair("clean", clean, "noisy", noisy, 1)
    for name, scores in (("clean", clean), ("noisy", noisy)):
        if (scores < 0).any():
            raise ValueError(
                f"{name} scores (with {float(scores.min()):g}) must be nonnegative: probabilities, "
                "not logits"
            )


def _check_pair(name_a: str, a: Tensor, name_b: str, b: Tensor, ndim: int) -> None:
    if a.shape != b.shape or a.ndim != ndim:
        wanted = {1: "(N,)", 3: "(N, H, W)"}[ndim]
        raise ValueError(
            f"{name_a} (of shape {tuple(a.shape)}) and {name_b} (of shape {tuple(b.shape)}) must "
            f"both be {wanted}"
        )
