"""Which pixels are the bird: segmentations, read when somebody asks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from innt_lib.data.images import ImageSet


def read_masks(images: ImageSet) -> np.ndarray:
    """The segmentation of every image, ``(N, size, size)`` bool, in the layout of CUB-200-2011.

    ``images/<path>`` belongs to ``segmentations/<path>``, as a PNG; the pixels that at least half of the
    annotators (or the drawing) give to the bird, resized as the images are.

    Raises:
        ValueError: a data set without segmentations, or one of them missing.
    """
    folder = images.folder
    if folder is None or not (folder / "segmentations").is_dir():
        raise ValueError(f"{images.name} has no folder segmentations, as CUB-200-2011 may have")
    size = images.images.shape[1:3][::-1]
    masks = np.zeros(images.images.shape[:3], dtype=bool)
    for mask, name in zip(masks, images.ids, strict=True):
        path = folder / "segmentations" / Path(name).relative_to("images").with_suffix(".png")
        if not path.is_file():
            raise ValueError(f"{path}: no segmentation of {name}")
        with Image.open(path) as picture:
            grey = picture.convert("L").resize(size, Image.Resampling.BILINEAR)
        mask[:] = np.asarray(grey) >= 128
    return masks
