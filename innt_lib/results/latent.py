"""What virtual adversarial neighbours, of pixels or of latents, do to a trained network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.learn.generators import Generator
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors.vat import VAT, Found, divergence
from innt_lib.results.experiment import Experiment
from innt_lib.system.tensors import evaluating, standardise, to_pixels

WAYS = ("r = 0", "random r", "adversarial r")


def neighbors_of(experiment: Experiment, generators: Mapping[str, Generator]) -> dict[str, VAT]:
    """The neighbours that an experiment's VAT and LVAT train with, by the names of the methods.

    Args:
        experiment: whose settings they have.
        generators: by kind, ``"vae"`` and ``"glow"``.
    """
    return {
        name: settings.neighbor(generators[made.kind] if (made := settings.generator) else None)
        for name, settings in experiment.virtual().items()
    }


def search(
    network: SplitNetwork,
    images: ImageSet,
    neighbor: VAT,
    *,
    seed: int = 0,
    radius: np.ndarray | None = None,
    batch_size: int = 64,
) -> tuple[Found, pd.DataFrame]:
    """The neighbour of every picture, found and judged in evaluation mode.

    Args:
        network: trained; left as it was.
        images: ``(N, ...)``.
        neighbor: of pixels or of latents.
        seed: of what the search begins with, the same for the same pictures.
        radius: ``(N,)``, a distance for every picture, instead of the neighbour's strength.
        batch_size: pictures at a time; bounds the memory.

    Returns:
        What was found, and a row a picture: ``picture``; ``kl`` between the predictions on the picture and on
        its neighbour; ``flipped``: whether these differ in class; ``distance``: Euclidean, of pixels in
        [0, 1], from the picture; ``moved``: from what its latents decode to; ``usable``.
    """
    device = next(network.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    parts, rows = [], []
    with evaluating(network):
        for places in torch.arange(len(images)).split(batch_size):
            x = standardise(images.tensor()[places].to(device))
            far = None if radius is None else torch.tensor(radius)[places].to(x)
            latents = neighbor.encode(x)
            found = neighbor.search(
                x, network, neighbor.start(x, generator), latents=latents, radius=far
            )
            with torch.no_grad():
                clean, near = network(x), network(found.images)
                still = neighbor.decode(latents, None)
                columns = {
                    "kl": divergence(clean, near),
                    "flipped": clean.argmax(1) != near.argmax(1),
                    "distance": _apart(x, found.images),
                    "moved": _apart(still, found.images),
                    "usable": found.usable,
                }
            parts.append(found)
            rows.append(pd.DataFrame({k: v.cpu().numpy() for k, v in columns.items()}))
    table = pd.concat(rows, ignore_index=True).astype({"kl": float})
    table.insert(0, "picture", range(len(table)))
    return Found(*(torch.cat(of) for of in zip(*parts, strict=True))), table


def _apart(one: Tensor, other: Tensor) -> Tensor:
    return (to_pixels(one) - to_pixels(other)).flatten(1).norm(dim=1)


def around(
    network: SplitNetwork, images: ImageSet, neighbors: Mapping[str, VAT], seed: int = 0
) -> pd.DataFrame:
    """Every neighbour at r = 0, at a random r and at the adversarial one: rows of :func:`search`.

    Returns:
        The columns of :func:`search` after ``neighbor`` (its name) and ``r``, one of ``WAYS``.
    """
    tables = []
    for name, neighbor in neighbors.items():
        ways = (
            replace(neighbor, strength=0.0), replace(neighbor, direction="random"),
            replace(neighbor, direction="adversarial"),
        )  # fmt: skip
        for way, one in zip(WAYS, ways, strict=True):
            table = search(network, images, one, seed=seed)[1]
            tables.append(table.assign(neighbor=name, r=way))
    return pd.concat(tables, ignore_index=True)


def sweep(
    network: SplitNetwork,
    images: ImageSet,
    neighbors: Mapping[str, VAT],
    factors: Sequence[float],
    seed: int = 0,
) -> pd.DataFrame:
    """Means over the pictures at multiples of each neighbour's strength.

    Returns:
        ``neighbor, epsilon, kl, flipped, distance, moved``; pictures that are not usable are left out.
    """
    rows = []
    for name, neighbor in neighbors.items():
        for factor in factors:
            one = replace(neighbor, strength=neighbor.strength * factor)
            table = search(network, images, one, seed=seed)[1].query("usable")
            means = table[["kl", "flipped", "distance", "moved"]].mean()
            rows.append({"neighbor": name, "epsilon": one.strength, **means})
    return pd.DataFrame(rows)


def at_equal_distance(
    network: SplitNetwork, images: ImageSet, neighbors: Mapping[str, VAT], seed: int = 0
) -> pd.DataFrame:
    """Latent neighbours beside VAT's at the very distance from the picture that each of them has.

    Args:
        neighbors: in latent spaces, by name.

    Returns:
        ``neighbor, picture, distance, kl, kl_vat, flipped, flipped_vat``; a row a usable picture.
    """
    tables = []
    for name, neighbor in neighbors.items():
        latent = search(network, images, neighbor, seed=seed)[1]
        pixels = search(network, images, VAT(), seed=seed, radius=latent["distance"].to_numpy())[1]
        both = latent.join(pixels[["kl", "flipped"]].add_suffix("_vat")).query("usable")
        tables.append(both.drop(columns=["usable", "moved"]).assign(neighbor=name))
    return pd.concat(tables, ignore_index=True)
