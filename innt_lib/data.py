"""Data sets as plain arrays: uint8 images, labels and boxes.

`load` is the way in from files, `ImageSet.from_arrays` from memory. `load` reads the generated
birds, CUB-200-2011, CIFAR-10 or any image folder (`innt_lib.catalogue` finds them,
`innt_lib.readers` knows the layouts), decodes the images once (`innt_lib.cache`) and returns the
training and the test part. `standardise` turns a batch into what a network takes.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from innt_lib.boxes import clip_box
from innt_lib.cache import Seen, decode, survey
from innt_lib.catalogue import check_classes, find
from innt_lib.check import examine
from innt_lib.readers import Listing

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's channels, for every data set: one convention
STD = (0.229, 0.224, 0.225)
Split = Literal["test", "validation"]
OnBad = Literal["error", "skip"]


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
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray | None
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    fingerprint: str

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
        fingerprint = _fingerprint(
            "\n".join(content), np.ascontiguousarray(images).data, labels.tobytes(),
            b"" if boxes is None else boxes.tobytes(),
        )  # fmt: skip
        ids = tuple(map(str, range(len(images))))
        return cls(name, images, labels, boxes, names, ids, fingerprint)

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
            _fingerprint(self.fingerprint, chosen.tobytes()),
        )


@dataclass(frozen=True)
class Splits:
    """The part to train on and the part to test on; classes and size are the same."""

    train: ImageSet
    test: ImageSet
    skipped: tuple[str, ...] = ()
    """Why images were left out, a line each; empty unless ``on_bad="skip"``."""


def load(
    dataset: str,
    size: int,
    *,
    root: Path | None = None,
    split: Split = "test",
    train_per_class: int = 0,
    test_per_class: int = 0,
    on_bad: OnBad = "error",
) -> Splits:
    """Load a data set at `size` x `size` pixels, decoding its images the first time.

    Images are resized directly, without keeping the aspect (bilinear, antialiased); boxes are
    scaled along, x and y separately.

    Args:
        dataset: "birds" (generated if absent), "cub200", "cifar10", or the path of a folder
            `{train,test}/<class>/<image>` with an optional `boxes.csv` (columns path, x, y, width,
            height); a relative path is one below the root. A folder in the layout of CUB-200-2011
            will do too.
        size: side of the images in pixels.
        root: the data set's folder, if it is not the usual one below `data/`.
        split: "test", or "validation": every fifth training image of each class becomes the test
            part and the others the training part; the real test images are not touched.
        train_per_class, test_per_class: only the first so many images of each class, in the order
            of their ids; 0 for all.
        on_bad: "error": the first wrong line, box or image is an error; "skip": all images
            concerned are left out and named in `Splits.skipped`. (If anything is wrong, every
            image is decoded once more to find all that is.)

    Raises:
        ValueError: an unknown data set or split, a number out of range, a malformed text file, a
            class without training images, a box outside its image, an image that cannot be decoded.
        FileNotFoundError: a folder or file that should be there.
    """
    if split not in get_args(Split):
        raise ValueError(f"split={split!r}: choose {' or '.join(get_args(Split))}")
    if size < 1:
        raise ValueError(f"size={size}: must be at least 1 pixel")
    if min(train_per_class, test_per_class) < 0:
        raise ValueError(
            f"train_per_class={train_per_class}, test_per_class={test_per_class}: "
            "must be positive, or 0 for all images"
        )
    if on_bad not in get_args(OnBad):
        raise ValueError(f"on_bad={on_bad!r}: choose {' or '.join(get_args(OnBad))}")
    part = partial(
        _load,
        size=size,
        split=split,
        train_per_class=train_per_class,
        test_per_class=test_per_class,
    )
    try:
        return part(*find(dataset, root))
    except (ValueError, FileNotFoundError):
        if on_bad == "error":
            raise
    report = examine(dataset, root)
    check_classes(report.listing)
    return replace(part(report.name, report.listing), skipped=report.problems)


def _load(
    name: str,
    listing: Listing,
    *,
    size: int,
    split: Split,
    train_per_class: int,
    test_per_class: int,
) -> Splits:
    labels = np.array([record.label for record in listing.records], dtype=np.int64)
    training = np.array([record.train for record in listing.records], dtype=bool)

    test = ~training
    if split == "validation":
        test = _every_fifth(labels, training)
        training = training & ~test
    training = _first(labels, training, train_per_class)
    test = _first(labels, test, test_per_class)

    # the two halves of the training images share one array with the whole of them
    joint = split == "validation"
    parts = [training | test] if joint else [training, test]
    positions = [np.flatnonzero(part) for part in parts]
    seen = [survey(listing, chosen) for chosen in positions]
    boxes = [_boxes(listing, c, s, size) for c, s in zip(positions, seen, strict=True)]
    sets = []
    for chosen, looked, box in zip(positions, seen, boxes, strict=True):
        images = decode(listing, chosen, looked, size)
        ids = tuple(listing.records[i].id for i in chosen)
        content = [str(size), *listing.classes, *(s.digest for s in looked)]
        fingerprint = _fingerprint(
            "\n".join(content), labels[chosen].tobytes(), b"" if box is None else box.tobytes()
        )
        sets.append(ImageSet(name, images, labels[chosen], box, listing.classes, ids, fingerprint))
    if joint:
        held_out = test[positions[0]]
        return Splits(sets[0].select(~held_out), sets[0].select(held_out))
    return Splits(sets[0], sets[1])


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
    mean, std = _constants(images.device)
    return images.permute(0, 3, 1, 2).to(torch.float32).sub_(mean).div_(std)


@cache
def _constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """`MEAN` and `STD` in units of 1/255; kept, because a copy to the device waits for it."""
    mean, std = (torch.tensor(c, device=device).view(3, 1, 1) * 255 for c in (MEAN, STD))
    return mean, std


def _first(labels: np.ndarray, part: np.ndarray, per_class: int) -> np.ndarray:
    """The first so many of each class in a part; both masks are (N,) bool."""
    if not per_class:
        return part
    return part & (_rank(labels, part) < per_class)


def _every_fifth(labels: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Every fifth training image of each class, at least one where there are two: (N,) bool."""
    count = np.bincount(labels[training], minlength=labels.max() + 1)[labels]
    held_out = training & (count > 1) & (_rank(labels, training) % 5 == np.minimum(4, count - 1))
    if not held_out.any():
        raise ValueError("split='validation' needs a class with at least two training images")
    return held_out


def _rank(labels: np.ndarray, part: np.ndarray) -> np.ndarray:
    """How many earlier images of the part are of the same class: (N,) int64."""
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(part & (labels == label))
        rank[members] = np.arange(len(members))
    return rank


def _boxes(
    listing: Listing, positions: np.ndarray, seen: list[Seen], size: int
) -> np.ndarray | None:
    """Boxes clipped to their images and scaled to `size`: (N, 4) float32 x0, y0, x1, y1."""
    if all(record.box is None for record in listing.records):
        return None
    boxes = np.full((len(positions), 4), np.nan, dtype=np.float32)
    for row, (position, looked) in enumerate(zip(positions, seen, strict=True)):
        record = listing.records[position]
        if record.box is not None:
            width, height = looked.width, looked.height
            corners = clip_box(
                record.box, width, height, listing.least_inside, record.box_at, record.id
            )
            boxes[row] = np.array(corners) * size / (width, height, width, height)
    return boxes


def _fingerprint(text: str, *parts: bytes | memoryview) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
