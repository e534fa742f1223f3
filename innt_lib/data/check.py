"""Look through a whole data set: `python -m innt_lib.data.check cub200` (or `cifar10`, or a folder).

Every broken file, wrong line, wrong box, class without images and image that is in the training and
in the test part is listed, not only the first; nothing is changed.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from innt_lib.data.boxes import clip_box
from innt_lib.data.cache import in_threads, look_whole
from innt_lib.data.catalogue import check_classes, find
from innt_lib.data.listing import Listing, Record


class Report(NamedTuple):
    """What was found.

    Attributes:
        name: of the data set.
        listing: the images that are in order.
        problems: one line each, about all others and about the data set as a whole.
        leaks: one line for every image whose very file is in the training and the test part.
    """

    name: str
    listing: Listing
    problems: tuple[str, ...]
    leaks: tuple[str, ...]


def examine(dataset: str, root: Path | None = None) -> Report:
    """Read every line and decode every image of a data set.

    Args:
        dataset, root: as for :func:`innt_lib.data.images.load`.

    Raises:
        ValueError, FileNotFoundError: what makes the folder no data set at all (a text file of the
            layout that is missing or not text).
    """
    problems: list[str] = []
    name, listing = find(dataset, root, lambda error: problems.append(str(error)))

    def look(position: int) -> tuple[str, str]:
        """Hash of an image's file, and what is wrong with it."""
        record = listing.records[position]
        try:
            seen = look_whole(listing, position)
            if record.box is not None:
                clip_box(
                    record.box, seen.width, seen.height, listing.least_inside, record.box_at,
                    record.id,
                )  # fmt: skip
        except (ValueError, OSError) as error:
            return "", str(error)
        return seen.digest, ""

    looked = in_threads(look, range(len(listing.records)), f"checking {name}")
    problems += [why for _, why in looked if why]
    good = [i for i, (_, why) in enumerate(looked) if not why]
    rest = _only(listing, good)
    if len(good) < len(listing.records):
        check_classes(rest, lambda error: problems.append(str(error)))
    copies: dict[str, list[Record]] = defaultdict(list)
    for i in good:
        copies[looked[i][0]].append(listing.records[i])
    leaks = tuple(
        f"{listing.folder}: the same image for training and for testing: "
        + ", ".join(record.id for record in same)
        for same in copies.values()
        if len({record.train for record in same}) == 2
    )
    return Report(name, rest, tuple(dict.fromkeys(problems)), leaks)


def _only(listing: Listing, positions: list[int]) -> Listing:
    """A part of a listing; classes stay, also those that lost all their images."""
    return replace(
        listing,
        records=tuple(listing.records[i] for i in positions),
        pixels=None if listing.pixels is None else listing.pixels[np.array(positions, dtype=int)],
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line: prints one line a problem; status 1 if there is any."""
    parser = argparse.ArgumentParser(
        prog="python -m innt_lib.data.check", description="Look through a whole data set."
    )
    parser.add_argument("dataset", help="birds, cub200, cifar10 or the path of a folder")
    chosen = parser.parse_args(arguments)
    try:
        report = examine(chosen.dataset)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    for line in (*report.problems, *report.leaks):
        print(line)
    records = report.listing.records
    training = sum(record.train for record in records)
    print(
        f"{report.name}: {training} training and {len(records) - training} test images of "
        f"{len(report.listing.classes)} classes are in order; {len(report.problems)} problems, "
        f"{len(report.leaks)} images in both parts"
    )
    sys.exit(1 if report.problems or report.leaks else 0)


if __name__ == "__main__":
    main()
