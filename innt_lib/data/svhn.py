"""SVHN's cropped digits (Netzer et al. 2011), read as published, through torchvision."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from innt_lib.data.listing import Listing, Record


def read_svhn(folder: Path) -> Listing:
    """Read ``train_32x32.mat`` and ``test_32x32.mat``, whose MD5 sums must be the published ones.

    The label of the digit 0, which the files call 10, is 0. Ids are "train/<position>", "test/<position>".

    Raises:
        FileNotFoundError: a file is missing or differs from the published one.
    """
    from torchvision.datasets import SVHN  # only here: importing it takes seconds

    try:
        parts = {name: SVHN(str(folder), split=name) for name in ("train", "test")}
    except RuntimeError as error:
        raise FileNotFoundError(
            f"{folder}: train_32x32.mat or test_32x32.mat is missing or damaged; get them with "
            "python -c \"from torchvision.datasets import SVHN; [SVHN('data/svhn', s, download=True) "
            "for s in ('train', 'test')]\""
        ) from error
    records = tuple(
        Record(f"{name}/{position}", int(label), name == "train")
        for name, part in parts.items()
        for position, label in enumerate(part.labels)
    )
    pixels = np.concatenate([part.data.transpose(0, 2, 3, 1) for part in parts.values()])
    return Listing(folder, tuple(map(str, range(10))), records, pixels=np.ascontiguousarray(pixels))
