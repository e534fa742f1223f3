"""What a data set's folder says about its images: files, classes, boxes, train or test.

A reader looks at names and text files only and returns a `Listing`; it never decodes an image, so
everything that can be wrong with a layout is known before any long work. Three layouts: the one of
CUB-200-2011 (which the generated birds share), an image folder, and CIFAR-10's own pickles.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from innt_lib.data.boxes import Box, parse_box
from innt_lib.data.listing import Complain, Listing, Record, refuse

CUB_FILES = (
    "images.txt",
    "image_class_labels.txt",
    "train_test_split.txt",
    "bounding_boxes.txt",
    "classes.txt",
)
BOX_COLUMNS = ("path", "x", "y", "width", "height")
SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".png",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    ]  # lower case
)


def read_cub(folder: Path, complain: Complain = refuse) -> Listing:
    """Read the layout of CUB-200-2011, joining its five text files on the image id.

    Ids need be neither contiguous nor ordered; lines about images that `images.txt` does not list,
    and classes without any image, are left out, so that a part of the data set is one too. Records
    come in the order of the numeric ids, labels in the order of the class ids.

    EXIF orientation is not applied, because the published boxes refer to the stored pixels. A few
    published boxes reach beyond their photograph (the farthest seen: by 7 % of the box's area), so
    a box is clipped as long as half of it lies inside.

    Raises:
        FileNotFoundError: one of the five files or `images/` is missing.
        ValueError: a malformed line, an id given twice, an image without label, split or box, a
            label of an unknown class, a box of zero, negative or undefined size.
    """
    for name in CUB_FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is not in the layout of CUB-200-2011: no {name}")
    if not (folder / "images").is_dir():
        raise FileNotFoundError(f"{folder} is not in the layout of CUB-200-2011: no folder images")

    def table(name: str, columns: int, what: str = "image id") -> dict[int, tuple[str, list[str]]]:
        return dict(_table(folder / name, columns, what, complain))

    names = {key: word for key, (_, (word,)) in table("classes.txt", 1, "class id").items()}
    paths: dict[int, str] = {}
    taken: set[str] = set()
    for key, (at, (word,)) in table("images.txt", 1).items():
        if word in taken:
            complain(ValueError(f"{at}: {word} is listed a second time"))
        elif ".." in Path(word).parts or Path(word).is_absolute():
            complain(ValueError(f"{at}: {word} leads out of the folder images"))
        else:
            taken.add(word)
            paths[key] = word
    if not paths:
        raise ValueError(f"{folder / 'images.txt'} lists no image")

    columns = [table(name, width) for name, width in zip(CUB_FILES[1:4], (1, 1, 4), strict=True)]
    found: list[tuple[str, int, bool, Box, str]] = []
    for key in sorted(paths):
        try:
            found.append(
                (f"images/{paths[key]}", *_cub_image(folder, key, paths[key], columns, names))
            )
        except ValueError as error:
            complain(error)
    label_of = {key: label for label, key in enumerate(sorted({row[1] for row in found}))}
    records = tuple(
        Record(image, label_of[key], train, box, at) for image, key, train, box, at in found
    )
    return Listing(folder, tuple(names[key] for key in label_of), records, least_inside=0.5)


def _cub_image(
    folder: Path,
    key: int,
    image: str,
    columns: list[dict[int, tuple[str, list[str]]]],
    names: dict[int, str],
) -> tuple[int, bool, Box, str]:
    """Class id, whether it is trained on, box and where the box stands, of one image."""
    for name, column in zip(CUB_FILES[1:4], columns, strict=True):
        if key not in column:
            raise ValueError(
                f"{folder / name}: no line for image {key} ({image}), which is in images.txt"
            )
    (class_at, (label,)), (split_at, (split,)), (box_at, box) = (c[key] for c in columns)
    class_id = _whole(label, class_at)
    if class_id not in names:
        raise ValueError(
            f"{class_at}: image {key} is of class {label}, which is not in classes.txt"
        )
    if split not in ("0", "1"):
        raise ValueError(f"{split_at}: expected 1 (training) or 0 (test), not {split!r}")
    return class_id, split == "1", parse_box(box, box_at, image), box_at


def read_folder(folder: Path, complain: Complain = refuse) -> Listing:
    """Read an image folder `{train,test}/<class>/<image>`, with an optional `boxes.csv`.

    Classes are the names of the folders, sorted; records come sorted by path. Files without the
    suffix of an image format, and hidden ones, are passed over. `boxes.csv` has the columns path
    (relative to the folder), x, y, width, height, in pixels of the upright image (EXIF orientation
    is applied); images that it does not name have no box.

    Raises:
        FileNotFoundError: no such folder, or no train/ or test/ in it.
        ValueError: a folder inside a class; in `boxes.csv` a missing column, a malformed line, an
            image that is not there or is named twice, a box of zero, negative or undefined size.
    """
    names: set[str] = set()  # also of empty folders: a class without images is a mistake
    found: list[tuple[str, str, bool]] = []
    for part in ("train", "test"):
        if not (folder / part).is_dir():
            raise FileNotFoundError(
                f"{folder} is not an image folder: no folder {part}; expected "
                "{train,test}/<class>/<image> (or the layout of CUB-200-2011, with images.txt)"
            )
        for group in _visible(folder / part):
            if not group.is_dir():
                continue
            names.add(group.name)
            for entry in _visible(group.path):
                if entry.is_dir():
                    complain(
                        ValueError(
                            f"{entry.path} is a folder: images must lie directly in "
                            f"{part}/{group.name}/"
                        )
                    )
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                    found.append((f"{part}/{group.name}/{entry.name}", group.name, part == "train"))
    classes = tuple(sorted(names))
    label_of = {name: label for label, name in enumerate(classes)}
    records = {path: Record(path, label_of[name], train) for path, name, train in found}
    bad: set[str] = set()
    if (folder / "boxes.csv").exists():
        for at, row in _box_rows(folder / "boxes.csv"):
            path = (row["path"] or "").strip()
            try:
                box = _box_of(row, at, path, records, folder)
            except ValueError as error:
                complain(error)
                bad.add(path)
            else:
                records[path] = replace(records[path], box=box, box_at=at)
    records = {path: record for path, record in records.items() if path not in bad}
    return Listing(folder, classes, tuple(records[path] for path in sorted(records)), upright=True)


def read_cifar10_pickles(folder: Path) -> Listing:
    """Read CIFAR-10 as published (`cifar-10-batches-py` inside `folder`), through torchvision.

    Ids are "train/<position>" and "test/<position>".

    Raises:
        FileNotFoundError: a batch is missing or differs from the published one.
    """
    from torchvision.datasets import CIFAR10  # only here: importing it takes seconds

    try:
        parts = [CIFAR10(str(folder), train=train) for train in (True, False)]
    except RuntimeError as error:
        raise FileNotFoundError(
            f"{folder / 'cifar-10-batches-py'} is incomplete or damaged; get it again with "
            f"python -m innt_lib.data.download cifar10 --to {folder}"
        ) from error
    records = tuple(
        Record(f"{'train' if part.train else 'test'}/{position}", int(label), part.train)
        for part in parts
        for position, label in enumerate(part.targets)
    )
    pixels = np.concatenate([part.data for part in parts])
    return Listing(folder, tuple(parts[0].classes), records, pixels=pixels)


def _table(
    path: Path, columns: int, what: str, complain: Complain
) -> Iterator[tuple[int, tuple[str, list[str]]]]:
    """Lines `<id> <columns...>` as (id, ("file:line", columns)); refuses an id given twice."""
    seen: set[int] = set()
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        at = f"{path}:{number}"
        # one column may hold spaces: a file name does now and then
        words = line.split(maxsplit=1) if columns == 1 else line.split()
        try:
            if len(words) != 1 + columns:
                raise ValueError(
                    f"{at}: expected an {what} and {columns} more, not {line.strip()!r}"
                )
            key = _whole(words[0], at)
            if key in seen:
                raise ValueError(f"{at}: {what} {key} is given twice")
        except ValueError as error:
            complain(error)
        else:
            seen.add(key)
            yield key, (at, [word.strip() for word in words[1:]])


def _box_rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Lines of boxes.csv as ("file:line", fields by column)."""
    lines = csv.DictReader(_text(path).splitlines())
    missing = [name for name in BOX_COLUMNS if name not in (lines.fieldnames or [])]
    if missing:
        raise ValueError(
            f"{path}:1: no column {', '.join(missing)}; expected the header {','.join(BOX_COLUMNS)}"
        )
    for row in lines:
        yield f"{path}:{lines.line_num}", row


def _box_of(
    row: dict[str, str], at: str, path: str, records: dict[str, Record], folder: Path
) -> Box:
    words = [row[name] for name in BOX_COLUMNS]
    if None in words or None in row:  # csv's marks for too few and too many fields
        raise ValueError(f"{at}: not as many fields as the header has")
    if path not in records:
        raise ValueError(f"{at}: no image {path!r} in {folder}")
    if records[path].box is not None:
        raise ValueError(f"{at}: a second box for {path}; one box an image")
    return parse_box(words[1:], at, path)


def _whole(word: str, at: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"{at}: expected a whole number, not {word!r}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets put a byte order mark first
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a UTF-8 text file: {error}") from None


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(
            (entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name
        )
