"""Birds whose background gives them away: a knob for bias, and pictures that show who fell for it.

Six species, each tied to one of the six backgrounds: with bias b a training picture has its species' own
background with probability b, else a random one (so b + (1 - b) / 6 of them have it). The same seed
draws the same bird in the same pose on any background, so that test pictures come in pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from filelock import FileLock

from innt_lib.data.birds import generator, write_birds
from innt_lib.data.cache import cache_dir
from innt_lib.data.drawing import Bird, draw_bird, own_background
from innt_lib.data.images import ImageSet
from innt_lib.data.species import BACKGROUNDS
from innt_lib.system.paths import data_dir, root

SPECIES = len(BACKGROUNDS)  # one to one


def biased_birds(
    bias: float, *, size: int = 32, train_per_species: int = 200, test_per_species: int = 40
) -> str:
    """The data set of a bias, drawn if it is absent; its test pictures have random backgrounds.

    Sets of two biases show the same birds in the same poses.

    Args:
        bias: in [0, 1].
        size: side of the images in pixels.
        train_per_species, test_per_species: images of each species.

    Returns:
        Its folder relative to the project's root, as :class:`innt_lib.results.run.Run` takes it.

    Raises:
        ValueError: a number out of range.
    """
    counts = f"{train_per_species}x{test_per_species}"
    folder = data_dir() / "biased_birds" / f"birds{size}_{counts}_bias{bias:g}"
    with FileLock(cache_dir() / "biased_birds.lock"):
        if not folder.exists():
            write_birds(
                folder, species=SPECIES, train_per_species=train_per_species,
                test_per_species=test_per_species, size=size, background_bias=bias, test_bias=0.0,
            )  # fmt: skip
    return str(folder.relative_to(root()))


@dataclass(frozen=True)
class Counterfactuals:
    """The test birds of :func:`biased_birds`, each three times; row i is the same bird in all.

    Args:
        rand: on a random background (Mixed-Rand): the test pictures of every bias.
        same: on its species' own background (Mixed-Same).
        only: that background without the bird (Only-BG).
        masks: ``(N, size, size)`` bool, the bird.
        backgrounds: ``(N,)``, of ``rand``.
    """

    rand: ImageSet
    same: ImageSet
    only: ImageSet
    masks: np.ndarray
    backgrounds: np.ndarray

    @property
    def conflicting(self) -> np.ndarray:
        """``(N,)`` bool: on a background in ``rand`` that is not the species' own."""
        return conflicting(self.rand.labels, self.backgrounds)


def counterfactuals(train: ImageSet, *, per_species: int) -> Counterfactuals:
    """Draw the test birds in every way.

    Args:
        train: the training images of :func:`biased_birds`, for their size and their classes.
        per_species: its ``test_per_species``.
    """
    size = train.images.shape[1]
    labels = np.repeat(np.arange(SPECIES), per_species)

    def draw(bias: float, visible: bool = True) -> tuple[ImageSet, list[Bird]]:
        birds = [
            draw_bird(
                species, generator(0, species, 0, copy), size=size, background_bias=bias,
                visible=visible,
            )
            for species in range(SPECIES) for copy in range(per_species)
        ]  # fmt: skip
        pixels = np.stack([bird.image for bird in birds])
        boxes = np.array([bird.box for bird in birds])
        boxes[:, 2:] += boxes[:, :2]
        name = f"birds, bias {bias:g}"
        return ImageSet.from_arrays(pixels, labels, boxes, classes=train.classes, name=name), birds

    (rand, birds), (same, _), (only, _) = draw(0.0), draw(1.0), draw(1.0, visible=False)
    masks = np.stack([bird.mask for bird in birds])
    return Counterfactuals(rand, same, only, masks, np.array([bird.background for bird in birds]))


def conflicting(labels: np.ndarray, backgrounds: np.ndarray) -> np.ndarray:
    """Whether a picture's background is not that of its species: ``(N,)`` bool."""
    return backgrounds != np.array([own_background(int(label)) for label in labels])


def read_backgrounds(images: ImageSet) -> np.ndarray:
    """The background of every picture of a written set, ``(N,)``: rows of ``BACKGROUNDS``.

    Raises:
        FileNotFoundError: the images are not of a folder with ``backgrounds.txt``.
    """
    if images.folder is None or not (images.folder / "backgrounds.txt").is_file():
        raise FileNotFoundError(f"{images.name} has no backgrounds.txt: draw it with biased_birds")

    def table(name: str) -> dict[str, str]:
        text = (images.folder / name).read_text() if images.folder else ""
        return dict(line.split(maxsplit=1) for line in text.splitlines())

    paths, kinds = table("images.txt"), table("backgrounds.txt")
    by_path = {f"images/{path}": int(kinds[number]) for number, path in paths.items()}
    return np.array([by_path[name] for name in images.ids])
