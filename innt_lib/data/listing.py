"""What is known of a data set before an image is decoded: a record an image, in a listing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from innt_lib.data.boxes import Box

# What a reader does with a line or an image that is wrong: raise the error, or note it and go on
# without that line or image.
Complain = Callable[[Exception], None]


def refuse(error: Exception) -> None:
    """Raise the error: nothing wrong is let pass."""
    raise error


@dataclass(frozen=True)
class Record:
    """One image as its data set lists it.

    `id` is its path relative to the data set's folder, with forward slashes; `label` is 0-based;
    `box` is x, y, width, height in pixels of the stored image (None: it has no box) and `box_at`
    the file and line that say so.
    """

    id: str
    label: int
    train: bool
    box: Box | None = None
    box_at: str = ""


@dataclass(frozen=True)
class Listing:
    """All images of a data set, in the order of its ids, and how they are to be read.

    `upright`: turn images as their EXIF orientation says; boxes then refer to the upright image.
    `least_inside`: a box may leave its image if at least this part of its area stays inside; None:
    it may leave it by at most one pixel, a matter of rounding.
    `pixels`: (N, h, w, 3) uint8, for a data set that comes as one array instead of image files.
    """

    folder: Path
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    upright: bool = False
    least_inside: float | None = None
    pixels: np.ndarray | None = None
