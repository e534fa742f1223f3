"""Bounding boxes as data sets give them (x, y, width, height) and as we use them (corners)."""

from __future__ import annotations

import math

Box = tuple[float, float, float, float]


def parse_box(words: list[str], at: str, image: str) -> Box:
    """Read x, y, width, height; ``at`` (``file:line``) and ``image`` name the box in an error.

    Raises:
        ValueError: not four numbers, one that is not finite, a width or height not positive.
    """
    try:
        x, y, width, height = (float(word) for word in words)
    except ValueError:
        why = "expected four numbers: x, y, width, height"
    else:
        if not all(math.isfinite(value) for value in (x, y, width, height)):
            why = "its numbers must be finite"
        elif width <= 0 or height <= 0:
            why = "its width and height must be positive"
        else:
            return x, y, width, height
    raise ValueError(f"{at}: box {' '.join(words)} of {image}: {why}")


def clip_box(
    box: Box, image_width: int, image_height: int, least_inside: float | None, at: str, image: str
) -> Box:
    """Corners x0, y0, x1, y1 of a box x, y, width, height, clipped to its image.

    A box may reach beyond its image by one pixel, a matter of rounding; with `least_inside` it may
    reach farther, as long as that part of its area lies inside.

    Raises:
        ValueError: a box that reaches farther, or lies outside altogether.
    """
    x, y, width, height = box
    x0, y0 = max(x, 0.0), max(y, 0.0)
    x1, y1 = min(x + width, float(image_width)), min(y + height, float(image_height))
    beyond = max(-x, -y, x + width - image_width, y + height - image_height)
    inside = max(x1 - x0, 0.0) * max(y1 - y0, 0.0) / (width * height)
    rounding = beyond <= 1.0 + 1e-6  # coordinates are decimal fractions
    if inside <= 0 or not (rounding or (least_inside is not None and inside >= least_inside)):
        raise ValueError(
            f"{at}: box x={x:g} y={y:g} width={width:g} height={height:g} reaches {beyond:g} px "
            f"beyond {image}, which is {image_width} x {image_height}"
        )
    return x0, y0, x1, y1
