"""The widget of the heat-map notebook: a picture, its neighbour, and what several networks make of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from matplotlib.figure import Figure

from innt_lib.data import ImageSet
from innt_lib.explain.metrics import map_similarity
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors import CORRUPTIONS, Neighbor
from innt_lib.results import gallery
from innt_lib.results.style import METHOD_LABELS, NOISE_LABELS, png

# Up to which strength a slider goes: beyond, a person sees no more than the network does.
STRONGEST = {"gaussian": 0.5, "neighborhood": 3.0} | dict.fromkeys(CORRUPTIONS, 5.0)
STRONGEST_ATTACK = 16.0


def figure(
    networks: Mapping[str, SplitNetwork], images: ImageSet, noise: Neighbor, image: int
) -> Figure:
    """One picture, clean above and noisy below, under the map of each network.

    Under a map: what the network says and how sure it is of the true class, green where it is right;
    in the lower row also the correlation of its two maps.

    Args:
        networks: trained ones, by what they are called.
        images: the data set.
        noise: drawn for the picture as it is where networks are measured.
        image: its position in the data set.
    """
    rows: list[list[gallery.Panel | None]] = [[], []]
    for network in networks.values():
        clean, noisy = (gallery.look(network, images, n, chosen=[image]) for n in (None, noise))
        maps = (torch.from_numpy(look.maps) for look in (clean, noisy))
        likeness = f"\nmaps correlate {float(map_similarity(*maps)):.2f}"
        for row, look, extra in ((rows[0], clean, ""), (rows[1], noisy, likeness)):
            said = _plain(images.classes[look.predicted[0]])
            text = f"{said}\np(true) = {look.probability[0]:.2f}{extra}"
            if not row:
                row.append(look.picture(0))
            row.append(look.panel(0, text))
    titles = [METHOD_LABELS[name] for name in networks]
    truth = f"it is: {_plain(images.classes[images.labels[image]])}"
    return gallery.panels(rows, [truth, *titles], ["clean", "noisy"], side=1.7)


def widget(
    networks: Mapping[str, Mapping[str, SplitNetwork]],
    images: ImageSet,
    noises: Mapping[str, Neighbor],
    image: int,
) -> Any:
    """The same with controls: which picture, which noise, how strong.

    Args:
        networks: by noise that they were trained with, and by name.
        images: the data set.
        noises: by name; their strengths are where the slider starts.
        image: the first picture's position in the data set.

    Returns:
        An ipywidgets box.
    """
    from ipywidgets import Dropdown, FloatSlider, Image, IntSlider, Layout, VBox

    wide = Layout(width="100%")
    first = next(iter(noises))
    which = IntSlider(image, 0, len(images) - 1, description="picture", layout=wide)
    names = [(NOISE_LABELS.get(name, name), name) for name in noises]
    kind = Dropdown(options=names, value=first, description="noise")
    strength = FloatSlider(
        noises[first].strength, min=_least(first), max=_strongest(first), step=_step(first),
        description="strength", layout=wide, readout_format=".3g",
    )  # fmt: skip

    def drawn() -> bytes:
        neighbor = replace(noises[kind.value], strength=strength.value)
        return png(figure(networks[kind.value], images, neighbor, which.value))

    shown = Image(value=drawn(), layout=Layout(max_width="100%"))

    def redraw(_: object) -> None:
        shown.value = drawn()

    def another_noise(change: Mapping[str, Any]) -> None:
        name = change["new"]
        with strength.hold_trait_notifications():
            strength.min, strength.max, strength.step = _least(name), _strongest(name), _step(name)
            strength.value = noises[change["new"]].strength
        redraw(change)

    which.observe(redraw, "value")
    strength.observe(redraw, "value")
    kind.observe(another_noise, "value")
    return VBox([which, kind, strength, shown])


def _strongest(noise: str) -> float:
    return STRONGEST.get(noise, STRONGEST_ATTACK)


def _least(noise: str) -> float:
    return 1.0 if noise in CORRUPTIONS else 0.0


def _step(noise: str) -> float:
    return 1.0 if noise in CORRUPTIONS else 0.01 * _strongest(noise)


def _plain(name: str) -> str:
    return name.split(".")[-1].replace("_", " ")
