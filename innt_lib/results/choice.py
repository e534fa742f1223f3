"""The rule that chooses a setting, such as tau, on the validation split."""

from __future__ import annotations

import pandas as pd

_ACCURACIES = ["clean_top1", "noisy_top1"]


def one_error_below(results: pd.DataFrame, pictures: int) -> dict[str, float]:
    """Top-1 on clean and on noisy pictures that is one standard error below the best of all variants.

    Args:
        results: as for :func:`within_one_error`.
        pictures: that were judged.

    Returns:
        ``clean_top1`` and ``noisy_top1``, in percent.
    """
    best = _level(results).query("collapsed == 0")[_ACCURACIES].max()
    floors = best - (best * (100 - best) / pictures) ** 0.5
    return {name: float(floors[name]) for name in _ACCURACIES}


def within_one_error(results: pd.DataFrame, pictures: int) -> tuple[list[str], str | None]:
    """How a setting is chosen: of the variants as accurate as the best, that with the most similar maps.

    As accurate: top-1 on clean and on noisy pictures are both within one standard error, of this
    number of pictures, of the best of all variants. Trainings are averaged; a variant of which one
    collapsed is not chosen.

    Args:
        results: ``method`` (the variant), ``clean_top1``, ``noisy_top1`` (in percent), ``similarity`` and
            ``collapsed``, one row a training.
        pictures: that were judged.

    Returns:
        Those variants, and the chosen one; none, and None, if no variant is close in both.
    """
    level = _level(results)
    floors = pd.Series(one_error_below(results, pictures))
    near = (level[_ACCURACIES] >= floors).all(axis=1)
    close = level[near & (level["collapsed"] == 0)]
    return list(close.index), None if close.empty else str(close["similarity"].idxmax())


def _level(results: pd.DataFrame) -> pd.DataFrame:
    """Means over the trainings of each variant."""
    columns = [*_ACCURACIES, "similarity", "collapsed"]
    return results.groupby("method", sort=False)[columns].mean()
