"""How a generated bird is drawn: a pose, a background, a plumage, its box, parts and outline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from innt_lib.data.species import BACKGROUNDS, PLUMAGES, SPECIES, Colour, Species

Point = tuple[float, float]
SUPERSAMPLING = 3  # drawn larger, then reduced: smooth edges


PARTS = ("back", "beak", "belly", "breast", "crown", "eye", "tail", "wing")


@dataclass(frozen=True)
class Bird:
    """One drawn bird.

    Args:
        image: ``(size, size, 3)`` uint8.
        mask: ``(size, size)`` bool, the bird.
        box: x, y, width, height in pixels, tight around the mask.
        parts: x, y in pixels of each of ``PARTS``.
        background: row of ``BACKGROUNDS``.
    """

    image: np.ndarray
    mask: np.ndarray
    box: tuple[float, float, float, float]
    parts: dict[str, Point]
    background: int


def draw_bird(
    species: int,
    rng: np.random.Generator,
    *,
    size: int = 96,
    background_bias: float = 0.0,
    visible: bool = True,
) -> Bird:
    """Draw one bird in a random pose on a random background.

    Args:
        species: row of ``SPECIES``.
        rng: all randomness comes from it.
        size: side of the image in pixels, at least 16.
        background_bias: probability, in [0, 1], that the background is the species' own instead of
            a random one; 0 makes it say nothing about the species. From the same ``rng`` comes the
            same bird in the same pose, whatever the bias.
        visible: whether the bird is in the image; its mask, box and parts are always given.

    Raises:
        ValueError: species, size or bias out of range.
    """
    if not 0 <= species < len(SPECIES):
        raise ValueError(f"species (={species}) must lie in 0 to {len(SPECIES) - 1}")
    if size < 16:
        raise ValueError(f"size (={size}) must be at least 16 pixels")
    if not 0 <= background_bias <= 1:
        raise ValueError(f"background_bias (={background_bias}) must lie between 0 and 1")
    tied = rng.random() < background_bias
    background = int(rng.integers(len(BACKGROUNDS)))
    if tied:
        background = own_background(species)
    scene = _background(background, size * SUPERSAMPLING, rng)
    layer = Image.new("RGBA", scene.size, (0, 0, 0, 0))
    place = _pose(size * SUPERSAMPLING, rng)
    _draw(ImageDraw.Draw(layer), SPECIES[species], place, rng)

    if visible:
        scene.paste(layer, mask=layer.getchannel("A"))
    small = (size, size)
    mask = np.asarray(layer.getchannel("A").resize(small, Image.Resampling.BOX)) >= 128
    image = np.asarray(scene.resize(small, Image.Resampling.BOX)).astype(np.float64)
    image = np.clip(image * rng.uniform(0.8, 1.15) + rng.normal(0, 3, image.shape), 0, 255)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (
        float(columns[0]), float(rows[0]),
        float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1),
    )  # fmt: skip
    spots = {
        "back": (-0.15, -0.24), "beak": (0.66, -0.27), "belly": (0.02, 0.24), "breast": (0.3, 0.06),
        "crown": (0.42, -0.44), "eye": (0.47, -0.31), "tail": (-0.62, 0.05), "wing": (-0.1, -0.02),
    }  # fmt: skip
    parts = {name: _scaled(place(*spots[name]), 1 / SUPERSAMPLING) for name in PARTS}
    return Bird(image.round().astype(np.uint8), mask, box, parts, background)


def own_background(species: int) -> int:
    """The background that a biased data set ties to a species: one to one for as many as there are."""
    return species % len(BACKGROUNDS)


# Bird coordinates: x forward, y down, the body an ellipse around (0, 0), the length about 1.7.

Place = Callable[[float, float], Point]


def _pose(size: int, rng: np.random.Generator) -> Place:
    """From bird coordinates to pixels, by a random scale, direction, tilt and position."""
    scale = size * rng.uniform(0.32, 0.46)
    mirror = 1 if rng.random() < 0.5 else -1
    angle = rng.uniform(-0.25, 0.25)
    x0, y0 = size * rng.uniform(0.40, 0.60, 2)
    cos, sin = np.cos(angle), np.sin(angle)

    def place(x: float, y: float) -> Point:
        x = mirror * (x + 0.05)
        return x0 + scale * (cos * x - sin * y), y0 + scale * (sin * x + cos * y)

    return place


def texture(size: int, rng: np.random.Generator, tones: np.ndarray) -> np.ndarray:
    """Two tones ``(2, 3)`` of 0 to 255, mixed by noise of several scales: ``(size, size, 3)`` uint8."""
    field = np.zeros((size, size))
    for cells, weight in ((3, 1.0), (7, 0.6), (17, 0.35)):
        coarse = Image.fromarray(rng.random((cells, cells)).astype(np.float32))
        field += weight * np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    field = (field - field.min()) / np.ptp(field)
    dark, light = tones
    return np.asarray((dark + field[..., None] * (light - dark)).round().astype(np.uint8))


def _background(kind: int, size: int, rng: np.random.Generator) -> Image.Image:
    """A texture, and some twigs and leaves."""
    dark, light = (np.array(tone, dtype=float) for tone in BACKGROUNDS[kind])
    scene = Image.fromarray(texture(size, rng, np.array([dark, light])))
    draw = ImageDraw.Draw(scene)
    for _ in range(int(rng.integers(2, 7))):
        tone = tuple(
            int(v) for v in rng.uniform(0.55, 1.1) * (dark + rng.random() * (light - dark)) // 1
        )
        x, y = rng.uniform(0, size, 2)
        if rng.random() < 0.5:
            reach = rng.normal(0, 0.5 * size, 2)
            draw.line(
                (x, y, x + reach[0], y + reach[1]), tone, int(size * rng.uniform(0.008, 0.03))
            )
        else:
            a, b = size * rng.uniform(0.02, 0.09, 2)
            draw.ellipse((x - a, y - b, x + a, y + b), tone)
    return scene


def _draw(draw: ImageDraw.ImageDraw, kind: Species, place: Place, rng: np.random.Generator) -> None:
    body, wing, belly = (_vary(colour, rng) for colour in PLUMAGES[kind.plumage])
    dark, light = (34, 28, 26), (246, 242, 230)
    unit = abs(place(1, 0)[0] - place(0, 0)[0]) + abs(place(1, 0)[1] - place(0, 0)[1])

    def shape(points: Sequence[Point], colour: Colour) -> None:
        draw.polygon([place(*point) for point in points], fill=(*colour, 255))

    def oval(x: float, y: float, a: float, b: float, colour: Colour, tilt: float = 0.0) -> None:
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        u, v = a * np.cos(turn), b * np.sin(turn)
        c, s = np.cos(tilt), np.sin(tilt)
        shape(list(zip(x + c * u - s * v, y + s * u + c * v, strict=True)), colour)

    def line(points: Sequence[Point], colour: Colour, width: float) -> None:
        pixels = [place(*point) for point in points]
        draw.line(pixels, (*colour, 255), max(1, round(width * unit)), joint="curve")

    for x in (0.02, 0.12):  # legs
        line([(x, 0.2), (x + 0.02, 0.42), (x + 0.09, 0.43)], (92, 70, 52), 0.03)
    tails: dict[str, list[list[Point]]] = {
        "square": [[(-0.3, -0.1), (-0.72, -0.02), (-0.7, 0.14), (-0.28, 0.1)]],
        "long": [[(-0.3, -0.1), (-1.0, 0.1), (-0.98, 0.2), (-0.28, 0.1)]],
        "forked": [
            [(-0.3, -0.1), (-0.82, -0.16), (-0.45, 0.03)],
            [(-0.28, 0.1), (-0.8, 0.24), (-0.42, -0.02)],
        ],
    }
    for feather in tails[kind.tail]:
        shape(feather, wing)
    oval(0, 0, 0.44, 0.26, body, -0.18)
    oval(0.1, 0.08, 0.3, 0.17, belly, -0.25)
    oval(0.4, -0.27, 0.19, 0.175, body)
    _breast(kind, shape, oval, dark)
    oval(-0.1, -0.03, 0.29, 0.15, wing, 0.15)
    for i in range(kind.bars):
        x = -0.02 - 0.14 * i
        line([(x, -0.15), (x - 0.07, 0.09)], light, 0.05)
    if kind.crown == "cap":
        turn = np.linspace(np.pi, 2 * np.pi, 20)
        shape([(0.4 + 0.19 * np.cos(t), -0.31 + 0.15 * np.sin(t)) for t in turn], dark)
    elif kind.crown == "crest":
        shape([(0.5, -0.4), (0.36, -0.45), (0.14, -0.66), (0.24, -0.34)], body)
        shape([(0.44, -0.43), (0.34, -0.47), (0.16, -0.64), (0.28, -0.42)], dark)
    length, thickness = {"short": (0.14, 0.04), "long": (0.34, 0.035), "thick": (0.16, 0.085)}[
        kind.beak
    ]
    shape(
        [(0.56, -0.27 - thickness), (0.57 + length, -0.25), (0.56, -0.25 + thickness)],
        (226, 150, 50),
    )
    oval(0.47, -0.31, 0.045, 0.045, light)
    oval(0.475, -0.31, 0.03, 0.03, (12, 12, 12))


def _breast(
    kind: Species, shape: Callable[..., None], oval: Callable[..., None], dark: Colour
) -> None:
    if kind.breast == "bib":
        shape([(0.3, -0.16), (0.5, -0.13), (0.45, 0.03), (0.36, 0.12), (0.3, 0.02)], dark)
    elif kind.breast == "streaks":
        for i in range(4):
            x = 0.12 + 0.08 * i
            shape([(x, 0.0), (x + 0.025, 0.0), (x, 0.17), (x - 0.025, 0.17)], dark)
    elif kind.breast == "spots":
        for i, j in ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)):
            oval(0.14 + 0.1 * i + 0.05 * j, 0.05 + 0.09 * j, 0.024, 0.024, dark)


def _vary(colour: Colour, rng: np.random.Generator) -> Colour:
    r, g, b = (int(v) for v in np.clip(np.array(colour) * rng.uniform(0.88, 1.12), 0, 255))
    return r, g, b


def _scaled(point: Point, factor: float) -> Point:
    return float(point[0]) * factor, float(point[1]) * factor
