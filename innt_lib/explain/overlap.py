"""The likeness of two rankings of a picture's regions: rank-biased overlap (Webber, Moffat, Zobel 2010)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def rank_biased_overlap(a: Tensor, b: Tensor, p: float | Sequence[float] = 0.2) -> Tensor:
    r"""Likeness of two rankings of a picture's regions by falling heat, the top weighing most.

    Extrapolated rank-biased overlap of complete rankings (Webber, Moffat, Zobel 2010):
    :math:`(1 - p) \sum_{d=1}^{m} p^{d-1} A_d + p^m`, :math:`A_d` the share of the d hottest regions
    that the two have in common.

    Equally hot regions, such as those that a CAM leaves at 0, are ranked by their number in both
    rankings. That makes identical maps identical rankings; the price is a little likeness between
    unrelated maps that leave the same regions at 0: none to speak of up to p = 0.5; at p = 0.9 about
    0.02 of 0.4 with half of the regions at 0, 0.05 with three quarters. A map without differences
    ranks nothing: two such maps have likeness 1, one beside a map with differences 0.

    Args:
        a, b: ``(N, M)``, heat of the regions, as :func:`region_heat` gives it; NaN: no region.
        p: persistence, between 0 and 1, or several. At 0.2 the hottest region weighs 0.89, at 0.9
            (of many regions) 0.26; the nearer to 1, the higher the likeness of unrelated maps.

    Returns:
        ``(N,)`` float64 in [0, 1], ``(P, N)`` for several p: 1 for the same ranking. NaN for a
        picture of one region, and where either map was all NaN.

    Raises:
        ValueError: shapes; p outside (0, 1); an infinite heat; two rows that have different
            regions.
    """
    persistence = torch.tensor(p, dtype=torch.float64, device=a.device)
    if wrong := persistence[~((persistence > 0) & (persistence < 1))].tolist():
        raise ValueError(f"p (={wrong[0]:g}) must lie between 0 and 1")
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(
            f"a (of shape {tuple(a.shape)}) and b (of shape {tuple(b.shape)}) must both be (N, M)"
        )
    if a.isinf().any() or b.isinf().any():
        raise ValueError("a and b (with an infinity) must hold finite heat, or NaN for no region")
    known = ~a.isnan() & ~b.isnan()
    m = known.sum(1, keepdim=True)
    if (wrong_rows := ((m > 0) & (a.isnan() ^ b.isnan()).any(1, keepdim=True)).flatten()).any():
        i = int(wrong_rows.nonzero()[0])
        raise ValueError(f"a and b must have the same regions: those of row {i} differ")
    worse_rank = torch.maximum(_ranks(a), _ranks(b))
    # How many regions are among the first d of both; beyond m nothing is left to disagree about.
    common = torch.zeros_like(a, dtype=torch.float64)
    common = common.scatter_add_(1, worse_rank, known.double()).cumsum(1)
    depth = torch.arange(1, a.shape[1] + 1, device=a.device)
    # The equation, as what is missing from 1: so that 1 is exactly 1.
    missing = 1 - common / torch.minimum(depth, m.clamp(min=1))
    weights = (1 - persistence[..., None]) * persistence[..., None] ** (depth - 1)
    likeness = (1 - weights @ missing.mT).clamp(min=0)
    flat_a, flat_b = _flat(a), _flat(b)
    likeness = torch.where(flat_a | flat_b, (flat_a & flat_b).double(), likeness)
    return torch.where(m[:, 0] < 2, torch.nan, likeness)


def _ranks(heat: Tensor) -> Tensor:
    """0 for the hottest; of equals the lower number first; NaN last."""
    order = heat.nan_to_num(-torch.inf).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(heat.shape[1], device=heat.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)  # the inverse permutation


def _flat(heat: Tensor) -> Tensor:
    """Are all known values of a row one and the same?"""
    high = heat.nan_to_num(-torch.inf).amax(1)
    low = heat.nan_to_num(torch.inf).amin(1)
    return high == low
