"""Data sets as plain arrays: uint8 images, labels and boxes, in memory or memory-mapped."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """Images of one size with labels, perhaps with boxes.

    Attributes:
        name: "birds", "cub200", "cifar10" or the name of the image folder.
        images: (N, size, size, 3) uint8, RGB, read-only; a memory map, or a selection of one.
        labels: (N,) int64, 0-based.
        boxes: (N, 4) float32, x0, y0, x1, y1 in pixels of `images`, within [0, size]; a row of NaN
            for an image without a box; None if no image of the data set has one.
        classes: their names, by label.
        ids: (N,) path of each image relative to the data set's folder.
        fingerprint: hash of the images' contents and size, the labels, boxes and class names.
        folder: where the data set lies; None for arrays.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray | None
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    fingerprint: str
    folder: Path | None = None

    @classmethod
    def from_arrays(
        cls,
        images: np.ndarray,
        labels: np.ndarray,
        boxes: np.ndarray | None = None,
        *,
        classes: Sequence[str] | None = None,
        name: str = "arrays",
    ) -> ImageSet:
        """Images that are in memory already.

        Args:
            images: (N, H, W, 3) uint8, RGB; kept, not copied.
            labels: (N,) integers from 0.
            boxes: (N, 4) x0, y0, x1, y1 in pixels; NaN for an image without a box.
            classes: their names, by label; the training and the test images must share them.
                None: "0", "1", ...
            name: for messages.

        Raises:
            ValueError: shapes or types; a label without a class; fewer than two classes.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(
                f"images ({images.dtype}, of shape {images.shape}) must be uint8, (N, H, W, 3)"
            )
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels ({labels.dtype}, of shape {labels.shape}) must be ({len(images)},) integers"
            )
        if boxes is not None and boxes.shape != (len(images), 4):
            raise ValueError(f"boxes (of shape {boxes.shape}) must be ({len(images)}, 4)")
        most = int(labels.max(initial=-1))
        names = tuple(classes) if classes is not None else tuple(map(str, range(most + 1)))
        if len(names) < 2 or most >= len(names) or (labels < 0).any():
            raise ValueError(
                f"labels (from {labels.min(initial=0)} to {most}) must lie in 0 to {len(names) - 1}, "
                "and there must be at least two classes"
            )
        labels = labels.astype(np.int64)
        boxes = None if boxes is None else boxes.astype(np.float32)
        content = [str(images.shape), *names]
        content_hash = fingerprint(
            "\n".join(content), np.ascontiguousarray(images).data, labels.tobytes(),
            b"" if boxes is None else boxes.tobytes(),
        )  # fmt: skip
        ids = tuple(map(str, range(len(images))))
        return cls(name, images, labels, boxes, names, ids, content_hash)

    def __len__(self) -> int:
        return len(self.labels)

    def tensor(self) -> Tensor:
        """The images as a uint8 tensor (N, size, size, 3) on the same memory; not for writing."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(self.images)

    def select(self, indices: Sequence[int] | np.ndarray) -> ImageSet:
        """The images at `indices` (integers, or a mask of N booleans), in that order.

        Raises:
            IndexError: an index out of range, or a mask of another length.
        """
        chosen = np.asarray(indices)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise IndexError(f"mask of shape {chosen.shape} for {len(self)} images")
            chosen = np.flatnonzero(chosen)
        if not chosen.size:
            chosen = chosen.astype(np.int64)  # of an empty list NumPy makes floats
        chosen = np.arange(len(self))[chosen]  # resolves negative indices and checks the range
        if np.array_equal(chosen, np.arange(len(self))):
            return self
        # a stretch of images stays a memory map; anything else is copied
        first = int(chosen[0]) if len(chosen) else 0
        stretch = np.array_equal(chosen, np.arange(first, first + len(chosen)))
        images = self.images[first : first + len(chosen)] if stretch else self.images[chosen]
        images.flags.writeable = False
        return ImageSet(
            self.name,
            images,
            self.labels[chosen],
            None if self.boxes is None else self.boxes[chosen],
            self.classes,
            tuple(self.ids[i] for i in chosen),
            fingerprint(self.fingerprint, chosen.tobytes()),
            self.folder,
        )


def fingerprint(text: str, *parts: bytes | memoryview) -> str:
    """A hash of what makes a set of images the one that it is: 32 hexadecimal digits."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
