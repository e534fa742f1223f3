"""Which pictures keep their labels, and which go into each step of an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def labelled(labels: np.ndarray, count: int, classes: int, seed: int) -> np.ndarray:
    """Positions of the pictures that keep their labels, equally many of each class.

    Args:
        labels: ``(N,)`` integers from 0.
        count: how many, divisible by the number of classes.
        classes: how many there are.
        seed: that they are drawn from.

    Returns:
        ``(count,)`` int64, ascending.

    Raises:
        ValueError: count not divisible, or more than some class has.
    """
    each, over = divmod(count, classes)
    if over or each < 1:
        raise ValueError(
            f"labels (={count}) must be a multiple of the number of classes ({classes})"
        )
    fewest = int(np.bincount(labels, minlength=classes).min())
    if each > fewest:
        raise ValueError(
            f"labels (={count}) are {each} a class, and there is a class of {fewest} training images"
        )
    generator = np.random.default_rng([seed, count])
    drawn = [
        generator.choice(np.flatnonzero(labels == label), each, replace=False)
        for label in range(classes)
    ]
    return np.sort(np.concatenate(drawn))


def batches(
    images: int,
    size: int,
    generator: torch.Generator,
    chosen: Tensor | None = None,
    both: bool = False,
) -> Iterator[tuple[Tensor, ...]]:
    """The steps of one epoch over all pictures; a last incomplete batch is left out.

    Args:
        images: how many there are.
        size: of a batch.
        generator: of their order.
        chosen: positions of the pictures with labels; None: all.
        both: whether a step has a batch that is taken without its labels, too.

    Yields:
        Positions of a labelled batch ``(size,)`` and, with ``both``, of one of all pictures. With few labels
        the labelled pictures come again and again, each as often as any other, and the labelled batches
        are the same whether or not the others are used; with all labels their order is another.
    """
    order = torch.randperm(images, generator=generator)
    steps = images // size
    if chosen is None and not both:
        yield from ((order[i * size : (i + 1) * size],) for i in range(steps))
        return
    few = torch.arange(images) if chosen is None else chosen
    rounds = -(-steps * size // len(few))
    with_labels = torch.cat(
        [few[torch.randperm(len(few), generator=generator)] for _ in range(rounds)]
    )
    for i in range(steps):
        rows = slice(i * size, (i + 1) * size)
        yield (with_labels[rows], order[rows]) if both else (with_labels[rows],)
