"""Which data sets there are, where they lie and what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from filelock import FileLock

from innt_lib.data.cache import cache_dir
from innt_lib.data.listing import Complain, Listing, refuse
from innt_lib.data.readers import read_cifar10_pickles, read_cub, read_folder
from innt_lib.data.svhn import read_svhn
from innt_lib.system.paths import data_dir, resolve

DATASETS = ("birds", "digits", "cub200", "cifar10", "svhn")


def find(
    dataset: str, root: Path | None = None, complain: Complain = refuse
) -> tuple[str, Listing]:
    """The name and the listing of a data set; `dataset` and `root` as in `innt_lib.data.images.load`.

    The birds and the digits are generated where they are absent.

    Raises:
        ValueError: an unknown data set, a class without training images, no test images, or what
            the reader refuses.
        FileNotFoundError: the data set's folder is absent, or a file that should be in it.
    """
    name, listing = _read(dataset, None if root is None else resolve(root), complain)
    check_classes(listing, complain)
    return name, listing


def _read(dataset: str, given: Path | None, complain: Complain) -> tuple[str, Listing]:
    if dataset == "birds":
        folder = given or data_dir() / "birds"
        if not folder.exists():
            _generate(dataset, folder)
        return dataset, read_cub(folder, complain)
    if dataset == "digits":
        folder = given or data_dir() / "digits"
        if not folder.exists():
            _generate(dataset, folder)
        return dataset, read_folder(folder, complain)
    if dataset == "svhn":
        return dataset, read_svhn(given or data_dir() / "svhn")
    if dataset == "cub200":
        folder = given or data_dir() / "CUB_200_2011"
        if not folder.is_dir():
            _missing(dataset, folder)
        return dataset, read_cub(folder, complain)
    if dataset == "cifar10":
        for folder in [given] if given else [data_dir() / "cifar10", data_dir()]:
            if (folder / "train").is_dir():
                return dataset, read_folder(folder, complain)
            if (folder / "cifar-10-batches-py").is_dir():
                return dataset, read_cifar10_pickles(folder)
        _missing(dataset, given or data_dir() / "cifar10")
    folder = given or resolve(dataset)
    if not folder.is_dir():
        raise ValueError(
            f"unknown data set {dataset!r}: choose {', '.join(DATASETS)}, or give the path of an "
            f"image folder {{train,test}}/<class>/<image> (there is no folder {folder})"
        )
    read = read_cub if (folder / "images.txt").exists() else read_folder
    return folder.name, read(folder, complain)


def _generate(dataset: str, folder: Path) -> None:
    # Only here: the drawing is not needed otherwise.
    from innt_lib.data.birds import write_birds
    from innt_lib.data.digits import write_digits

    with FileLock(cache_dir() / f"{dataset}.lock"):
        if not folder.exists():  # nobody else has written them meanwhile
            (write_birds if dataset == "birds" else write_digits)(folder)


def _missing(dataset: str, folder: Path) -> NoReturn:
    raise FileNotFoundError(
        f"{dataset}: no data in {folder}; get it with python -m innt_lib.data.download {dataset}"
    )


def check_classes(listing: Listing, complain: Complain = refuse) -> None:
    """Every class must be trained on, and something tested."""
    trained = {record.label for record in listing.records if record.train}
    for label, name in enumerate(listing.classes):
        if label not in trained:
            complain(ValueError(f"{listing.folder}: class {name!r} has no training image"))
    if not listing.records:
        complain(ValueError(f"{listing.folder}: no images in train/<class>/ and test/<class>/"))
    if all(record.train for record in listing.records):
        complain(ValueError(f"{listing.folder}: no test images"))
