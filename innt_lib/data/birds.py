"""The embedded data set: generated birds, written in the layout of CUB-200-2011.

Species share their colours in groups and differ in details (crown, wing bars, breast, beak, tail),
so that a network has to look closely; backgrounds say nothing about the species. Every image
depends on its own seed alone: the same image comes out whatever else is drawn.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from innt_lib.data.drawing import PARTS, draw_bird
from innt_lib.data.species import SPECIES
from innt_lib.system.files import whole_folder
from innt_lib.system.progress import progress


def write_birds(
    folder: Path,
    *,
    species: int = 8,
    train_per_species: int = 50,
    test_per_species: int = 25,
    size: int = 96,
    seed: int = 0,
    background_bias: float = 0.0,
    test_bias: float | None = None,
) -> None:
    """Write a data set of birds in the layout of CUB-200-2011, whole or not at all.

    Args:
        folder: must not exist yet.
        species: how many, 2 to 16.
        train_per_species, test_per_species: images of each, at least 1.
        size, background_bias: as for :func:`draw_bird`.
        seed: of the whole set.
        test_bias: another bias for the test images.

    Besides the files of CUB-200-2011 there are ``segmentations/`` and ``backgrounds.txt``, the row of
    ``BACKGROUNDS`` behind each bird.

    Raises:
        FileExistsError: the folder exists.
        ValueError: a number out of range.
    """
    if not 2 <= species <= len(SPECIES):
        raise ValueError(f"species (={species}) must lie in 2 to {len(SPECIES)}")
    if min(train_per_species, test_per_species) < 1:
        raise ValueError(
            f"train_per_species (={train_per_species}) and test_per_species (={test_per_species}) "
            "must be at least 1"
        )
    biases = (background_bias if test_bias is None else test_bias, background_bias)
    with whole_folder(folder) as temporary:
        _write(temporary, species, (train_per_species, test_per_species), size, seed, biases)


def _write(
    folder: Path,
    species: int,
    counts: tuple[int, int],
    size: int,
    seed: int,
    biases: tuple[float, float],
) -> None:
    lines: dict[str, list[str]] = {
        name: []
        for name in (
            "images", "image_class_labels", "train_test_split", "bounding_boxes", "parts/part_locs",
            "backgrounds",
        )
    }  # fmt: skip
    todo = [
        (number, is_train, copy)
        for number in range(species)
        for is_train, count in ((1, counts[0]), (0, counts[1]))
        for copy in range(count)
    ]
    for image_id, (number, is_train, copy) in enumerate(
        progress(todo, desc="drawing birds", unit="bird"), 1
    ):
        rng = generator(seed, number, is_train, copy)
        bird = draw_bird(number, rng, size=size, background_bias=biases[is_train])
        part = "train" if is_train else "test"
        path = f"{_class(number)}/{SPECIES[number].name}_{part}_{copy:04d}.png"
        for where, pixels in (("images", bird.image), ("segmentations", bird.mask)):
            target = folder / where / path
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(target)
        lines["images"].append(f"{image_id} {path}")
        lines["image_class_labels"].append(f"{image_id} {number + 1}")
        lines["train_test_split"].append(f"{image_id} {is_train}")
        lines["backgrounds"].append(f"{image_id} {bird.background}")
        lines["bounding_boxes"].append(f"{image_id} {' '.join(f'{v:.1f}' for v in bird.box)}")
        lines["parts/part_locs"] += [
            f"{image_id} {i} {x:.1f} {y:.1f} {int(0 <= x < size and 0 <= y < size)}"
            for i, (x, y) in enumerate(bird.parts.values(), 1)
        ]
    lines["classes"] = [f"{n + 1} {_class(n)}" for n in range(species)]
    lines["parts/parts"] = [f"{i} {name}" for i, name in enumerate(PARTS, 1)]
    (folder / "parts").mkdir()
    for name, content in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(content) + "\n")


def generator(seed: int, species: int, is_train: int, copy: int) -> np.random.Generator:
    """What one bird is drawn with: it depends on nothing else of its set."""
    return np.random.default_rng([seed, species, is_train, copy])


def _class(species: int) -> str:
    return f"{species + 1:03d}.{SPECIES[species].name}"
