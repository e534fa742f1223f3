"""Pairs of a picture and a neighbour, as one network sees them: what notebook 8 is computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from filelock import FileLock

from innt_lib.data import ImageSet
from innt_lib.data.cache import cache_dir
from innt_lib.explain.cam import check_cams, explain_all
from innt_lib.explain.metrics import map_similarity
from innt_lib.explain.overlap import rank_biased_overlap
from innt_lib.explain.regions import VERSION, RegionHeat, Score, regions
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors import Neighbor, near_fixed
from innt_lib.system.files import write
from innt_lib.system.progress import progress
from innt_lib.system.tensors import evaluating, standardise

Explained = Literal["own", "clean"]
PERSISTENCE = (0.2, 0.5, 0.9)  # of rank-biased overlap; the first is the one that "rho" stands for


def kept_regions(images: ImageSet) -> np.ndarray:
    """The regions of pictures, computed once and kept beside the decoded images.

    Returns:
        ``(N, H', W')`` int16, as :func:`innt_lib.explain.regions.regions`; a memory map.
    """
    path = cache_dir() / f"regions{VERSION}-{images.fingerprint}.npy"
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            found = regions(np.asarray(images.images))
            write(path, lambda stream: np.save(stream, found))
    kept: np.ndarray = np.load(path, mmap_mode="r")
    return kept


def pairs(
    network: SplitNetwork,
    images: ImageSet,
    areas: np.ndarray,
    neighbors: Mapping[tuple[str, float], Neighbor],
    cams: Sequence[str],
    *,
    draws: int = 1,
    explained: Explained = "own",
    score: Score = "mean",
    batch_size: int = 32,
) -> pd.DataFrame:
    """The likeness of clean and neighbouring maps, for every picture, neighbour, draw and CAM.

    Args:
        network: trained; run in evaluation mode on the device of its parameters.
        images: the pictures.
        areas: their regions, of :func:`kept_regions` or :func:`innt_lib.explain.regions.grid`.
        neighbors: by name and strength.
        cams: of ``cam.CAMS``.
        draws: neighbours of each kind a picture has, drawn from its position and the seeds 0, 1, ...;
            those that know no chance are made once.
        explained: the class of the neighbour's map: ``"own"``, predicted on the neighbour, so that an
            explanation may follow a changed mind; ``"clean"``, predicted on the clean picture. That
            of the clean map is always the latter.
        score: of a region, see :class:`innt_lib.explain.regions.RegionHeat`.
        batch_size: pictures at a time.

    Returns:
        A row a pair and CAM: ``picture`` (position), ``corruption``, ``strength``, ``draw``, ``cam``,
        ``flipped`` (the prediction changed), ``correct`` (on the clean picture), ``right`` (on the
        neighbour), ``rho`` (rank-biased overlap with p = 0.2), ``rho_0.5``, ``rho_0.9``, ``similarity``
        (correlation over pixels; NaN for a flat map), ``empty`` (how many of the two maps are zero
        everywhere).

    Raises:
        ValueError: as many areas as images are needed; no images, neighbours or CAMs; unknown CAMs,
            explained or score; draws below 1.
    """
    _check(images, areas, neighbors, cams, draws, explained)
    device = next(network.parameters()).device
    tables = []
    starts = range(0, len(images), batch_size)
    with evaluating(network):
        for start in progress(starts, desc="pairs", unit="batch"):
            rows = range(start, min(start + batch_size, len(images)))
            part, ids = images.select(rows), torch.tensor(rows)
            clean = standardise(part.tensor().to(device))
            labels = torch.from_numpy(part.labels).to(device)
            maps, logits = explain_all(cams, network, clean)
            told = logits.argmax(1)
            of_regions = RegionHeat(areas[start : rows.stop], clean.shape[2:], device)
            heat = {name: of_regions(m, score) for name, m in maps.items()}
            for (name, strength), neighbor in neighbors.items():
                for draw in range(draws if neighbor.random else 1):
                    noisy = near_fixed(neighbor, clean, ids, draw, labels, network)
                    target = told if explained == "clean" else None
                    other, says = explain_all(cams, network, noisy, target)
                    about = {
                        "picture": ids.numpy(), "corruption": name, "strength": strength,
                        "draw": draw, "flipped": (says.argmax(1) != told).cpu().numpy(),
                        "correct": (told == labels).cpu().numpy(),
                        "right": (says.argmax(1) == labels).cpu().numpy(),
                    }  # fmt: skip
                    for cam in cams:
                        warm = of_regions(other[cam], score)
                        rho = rank_biased_overlap(heat[cam], warm, PERSISTENCE).cpu().numpy()
                        empty = sum((m.amax((1, 2)) == 0).long() for m in (maps[cam], other[cam]))
                        seen = {
                            "cam": cam, "rho": rho[0], "rho_0.5": rho[1], "rho_0.9": rho[2],
                            "similarity": map_similarity(maps[cam], other[cam]).cpu().numpy(),
                            "empty": torch.as_tensor(empty).cpu().numpy(),
                        }  # fmt: skip
                        tables.append(pd.DataFrame(about | seen))
    return pd.concat(tables, ignore_index=True)


def _check(
    images: ImageSet,
    areas: np.ndarray,
    neighbors: Mapping[tuple[str, float], Neighbor],
    cams: Sequence[str],
    draws: int,
    explained: str,
) -> None:
    if len(areas) != len(images):
        raise ValueError(
            f"areas (of {len(areas)} pictures) must be those of the {len(images)} images"
        )
    for name, given in (("images", images), ("neighbors", neighbors), ("cams", cams)):
        if not len(given):
            raise ValueError(f"{name} must not be empty: nothing would be compared")
    check_cams(cams)
    if draws < 1:
        raise ValueError(f"draws (={draws}) must be at least 1")
    if explained not in get_args(Explained):
        raise ValueError(
            f"explained (={explained!r}) must be one of {', '.join(get_args(Explained))}"
        )
