"""From files to arrays: :func:`load` reads a data set by its name or folder and splits it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from innt_lib.data.boxes import clip_box
from innt_lib.data.cache import Seen, decode, survey
from innt_lib.data.catalogue import check_classes, find
from innt_lib.data.check import examine
from innt_lib.data.images import ImageSet, fingerprint
from innt_lib.data.listing import Listing

Split = Literal["test", "validation"]
OnBad = Literal["error", "skip"]


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
        content_hash = fingerprint(
            "\n".join(content), labels[chosen].tobytes(), b"" if box is None else box.tobytes()
        )
        sets.append(
            ImageSet(
                name,
                images,
                labels[chosen],
                box,
                listing.classes,
                ids,
                content_hash,
                listing.folder,
            )
        )
    if joint:
        held_out = test[positions[0]]
        return Splits(sets[0].select(~held_out), sets[0].select(held_out))
    return Splits(sets[0], sets[1])


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
