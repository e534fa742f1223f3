"""What stands near a picture: noisy, corrupted and attacked copies; by name, drawn anew or once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from innt_lib.neighbors.attacks import Attack
from innt_lib.neighbors.corruptions import CORRUPTIONS, Corruption
from innt_lib.neighbors.noise import Form, GaussianNoise, NeighborhoodNoise, Range
from innt_lib.neighbors.vat import VAT
from innt_lib.system.tensors import evaluating

Network = Callable[[Tensor], Tensor]
Neighbor = GaussianNoise | NeighborhoodNoise | Attack | VAT | Corruption


@dataclass(frozen=True)
class NeighborKind:
    """A neighbour that has a name.

    Args:
        summary: what it is, and in what its strength is measured.
        make: it, of a strength and, for the paper's two noises, their ``noise_range`` and ``noise_form``.
            What it gives is called with images ``(B, 3, H, W)`` and a generator, unless it is one of
            those here that are aimed at a network.
        setting: of an experiment, which says its strength.
        usual: strength where the corruptions have severity 3.
    """

    summary: str
    make: Callable[[float, Range, Form], Neighbor]
    setting: str = "severity"
    usual: float = 3.0


NEIGHBORS: dict[str, NeighborKind] = {
    "gaussian": NeighborKind(
        "Gaussian noise (Eq. 6-7), strength mu_G",
        lambda strength, over, _: GaussianNoise(strength, over), "mu_gaussian", 0.15,
    ),
    "neighborhood": NeighborKind(
        "neighborhood noise (Eq. 8-9), strength mu_N",
        lambda strength, _, form: NeighborhoodNoise(strength, form), "mu_neighborhood", 1.0,
    ),
    "fgsm": NeighborKind(
        "one step of the fast gradient sign method, strength in 1/255",
        lambda strength, *_: Attack(strength), "radius",
    ),
    "pgd": NeighborKind(
        "five steps of projected gradient descent, strength in 1/255; pgd20: twenty, and so on",
        lambda strength, *_: Attack(strength, 5, random_start=True), "radius",
    ),
    "vat": NeighborKind(
        "virtual adversarial, without labels, strength the distance in pixels of [0, 1]",
        lambda strength, *_: VAT(strength), "epsilon_vat",
    ),
    **{
        name: NeighborKind(
            f"{text}; strength 1 to 5", lambda strength, *_, name=name: Corruption(name, strength)
        )
        for name, text in CORRUPTIONS.items()
    },
}  # fmt: skip


def kind_of(name: str) -> NeighborKind:
    """What a name of a neighbour stands for.

    Args:
        name: one of ``NEIGHBORS``, or ``"pgd<steps>"``.

    Raises:
        ValueError: unknown name (the known ones are listed).
    """
    if found := re.fullmatch(r"pgd(\d+)", name):
        steps = int(found[1])
        return replace(
            NEIGHBORS["pgd"], make=lambda strength, *_: Attack(strength, steps, random_start=True)
        )
    if name not in NEIGHBORS:
        raise ValueError(f"noise (={name!r}) must be one of {', '.join(NEIGHBORS)}")
    return NEIGHBORS[name]


def make_neighbor(
    name: str,
    strength: float,
    noise_range: Range = "image",
    noise_form: Form = "multiplicative",
) -> Neighbor:
    """A neighbour by name, given the options of both noises.

    Args:
        name: one of ``NEIGHBORS``, or ``"pgd<steps>"``.

    Raises:
        ValueError: unknown name (the known ones are listed), or a strength that it does not take.
    """
    return kind_of(name).make(strength, noise_range, noise_form)


def at_severity(name: str, severity: float) -> Neighbor:
    """A neighbour on the scale from 1 to 5 of the corruptions, so that all can be drawn in one figure.

    The paper's two noises reach the strengths that it uses at 3 (0.15 and 1.0), attacks have a radius
    of so many 1/255.

    Raises:
        ValueError: unknown name (the known ones are listed); severity not a whole number from 1 to 5.
    """
    if isinstance(severity, bool) or severity not in (1, 2, 3, 4, 5):
        raise ValueError(f"severity (={severity!r}) must be a whole number from 1 to 5")
    # Divided last: 0.15 and 1.0 to the last bit at 3.
    return make_neighbor(name, kind_of(name).usual * severity / 3)


def near(
    neighbor: Neighbor,
    images: Tensor,
    labels: Tensor,
    network: Network,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A neighbour of every image, drawn now.

    Args:
        images: ``(B, 3, H, W)``, standardised.
        labels: ``(B,)``; they matter to attacks alone, the network also to VAT.

    Returns:
        Images of the same shape.
    """
    if isinstance(neighbor, Attack):
        return neighbor(images, labels, network, generator)
    if isinstance(neighbor, VAT):
        return neighbor(images, network, generator)
    return neighbor(images, generator)


def near_fixed(
    neighbor: Neighbor,
    images: Tensor,
    ids: Tensor,
    seed: int,
    labels: Tensor | None = None,
    network: Network | None = None,
) -> Tensor:
    """The same random draws for the same image every time, as in Section 3.1.

    Args:
        images: ``(B, 3, H, W)``, standardised.
        ids: ``(B,)`` integer positions of the images in their data set.
        seed: of the run; another seed draws otherwise for every image.
        labels, network: of attacks, which need them, as VAT needs the network.

    Returns:
        Neighbours of the same shape; a row depends on its image, its id and the seed alone (and on the
        network, for attacks), so with ``range="batch"`` every image is a batch of its own.

    Raises:
        ValueError: an attack without labels or network, VAT without network.
    """
    if isinstance(neighbor, Corruption) and not neighbor.random:
        return neighbor(images)
    generators = (_generator(images.device, seed, int(number)) for number in ids.tolist())
    pairs = zip(images, generators, strict=True)
    if not isinstance(neighbor, Attack | VAT):
        return torch.cat([neighbor(image[None], generator) for image, generator in pairs])
    if network is None or (labels is None and isinstance(neighbor, Attack)):
        raise ValueError(f"{neighbor} needs the labels and the network that it is aimed at")
    if isinstance(neighbor, VAT):
        starts = zip(*(neighbor.start(image[None], own) for image, own in pairs), strict=True)
        with evaluating(network):
            return neighbor.search(images, network, [torch.cat(level) for level in starts]).images
    assert labels is not None
    start = torch.cat([neighbor.start(image[None], generator) for image, generator in pairs])
    return neighbor.search(images, labels, network, start)


def _generator(device: torch.device, seed: int, number: int) -> torch.Generator:
    # Neighbouring seeds give unrelated streams once they are spread by a large odd constant.
    mixed = ((seed + 1) * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9) % 2**63
    return torch.Generator(device).manual_seed(mixed)
