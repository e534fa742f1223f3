"""The other embedded data set: generated digits in the manner of house numbers, in an image folder.

A digit of one of Matplotlib's own fonts stands in the middle, turned and slanted a little, on a texture that
says nothing about it; parts of other digits reach in from the sides, as in pictures cut out of house numbers.
Every picture depends on its own seed alone.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from innt_lib.data.drawing import texture
from innt_lib.system.files import whole_folder
from innt_lib.system.progress import progress

SIZE = 32
LARGER = 2  # drawn so many times larger, then reduced: smooth edges
FONTS = tuple(
    f"DejaVu{name}"
    for name in (
        "Sans", "Sans-Bold", "Sans-Oblique", "Sans-BoldOblique", "SansMono", "SansMono-Bold", "Serif",
        "Serif-Bold", "Serif-Italic", "Serif-BoldItalic",
    )
)  # fmt: skip
LEAST_CONTRAST = 45  # between the grey of a digit and of what it stands on, of 255


def write_digits(
    folder: Path, *, train_per_class: int = 200, test_per_class: int = 50, seed: int = 0
) -> None:
    """Write a data set of digits as an image folder with boxes, whole or not at all.

    Args:
        folder: must not exist yet.
        train_per_class, test_per_class: pictures of each of the ten, at least 1.
        seed: of the whole set.

    Raises:
        FileExistsError: the folder exists.
        ValueError: a number out of range.
    """
    if min(train_per_class, test_per_class) < 1:
        raise ValueError(
            f"train_per_class (={train_per_class}) and test_per_class (={test_per_class}) must be at "
            "least 1"
        )
    todo = [
        (part, digit, copy)
        for part, count in (("train", train_per_class), ("test", test_per_class))
        for digit in range(10)
        for copy in range(count)
    ]
    boxes = ["path,x,y,width,height"]
    with whole_folder(folder) as temporary:
        for part, digit, copy in progress(todo, desc="drawing digits", unit="digit"):
            rng = np.random.default_rng([seed, part == "train", digit, copy])
            picture, box = draw_digit(digit, rng)
            path = f"{part}/{digit}/{copy:04d}.png"
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(temporary / path)
            boxes.append(f"{path},{','.join(map(str, box))}")
        (temporary / "boxes.csv").write_text("\n".join(boxes) + "\n")


def draw_digit(
    digit: int, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A picture ``(32, 32, 3)`` uint8 of a digit, and its box: x, y, width, height in pixels.

    Raises:
        ValueError: no digit.
    """
    if not 0 <= digit <= 9:
        raise ValueError(f"digit (={digit}) must lie in 0 to 9")
    side = SIZE * LARGER
    ground, ink = _colours(rng)
    light = ground + rng.normal(0, 22, 3)
    scene = Image.fromarray(texture(SIZE, rng, np.clip([ground, light], 0, 255))).resize(
        (side, side)
    )
    font = FONTS[int(rng.integers(len(FONTS)))]
    height = int(side * rng.uniform(0.62, 0.85))
    x, y = side * (0.5 + rng.uniform(-0.06, 0.06, 2))
    angle, slant = rng.uniform(-12, 12), rng.uniform(-0.15, 0.15)
    apart = height * rng.uniform(0.62, 0.8)
    masks = []
    for place in (-1, 1, 0):
        shown = digit if place == 0 else int(rng.integers(10))
        there = place == 0 or rng.random() < 0.7
        if there:
            masks.append(_glyph(shown, font, height, (x + place * apart, y), angle, slant))
    for mask in masks:
        scene.paste(tuple(int(v) for v in ink), mask=mask)
    small = np.asarray(scene.resize((SIZE, SIZE), Image.Resampling.BOX)).astype(np.float64)
    noise = rng.normal(0, rng.uniform(2, 9), small.shape)
    picture = np.clip(small * rng.uniform(0.8, 1.1) + noise, 0, 255).round().astype(np.uint8)
    inside = np.asarray(masks[-1].resize((SIZE, SIZE), Image.Resampling.BOX)) >= 128
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    left, top = int(columns[0]), int(rows[0])
    return picture, (left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1)


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Of the ground and of the ink, which differ enough in grey to be told apart."""
    while True:
        ground, ink = rng.uniform(20, 235, (2, 3))
        if abs((ground - ink).mean()) >= LEAST_CONTRAST:
            return ground, ink


def _glyph(
    digit: int, font: str, height: int, middle: tuple[float, float], angle: float, slant: float
) -> Image.Image:
    """A grey mask of a digit around its middle, slanted and turned by so many degrees."""
    side = SIZE * LARGER
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).text(middle, str(digit), 255, _font(font, height), anchor="mm")
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    a, b, d, e = cos + slant * sin, slant * cos - sin, sin, cos  # from where a pixel's grey comes
    x, y = middle
    back = (a, b, x - a * x - b * y, d, e, y - d * x - e * y)
    return mask.transform(mask.size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)


@cache
def _font(name: str, height: int) -> ImageFont.FreeTypeFont:
    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    return ImageFont.truetype(str(folder / f"{name}.ttf"), height)
