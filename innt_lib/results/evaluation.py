"""Everything the paper measures on a trained network, one row an image.

Three forward passes an image: clean, noisy, and the noisy image behind its own heat map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.explain import metrics
from innt_lib.explain.cam import check_cams, explain
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors import Neighbor, near_fixed
from innt_lib.system.progress import progress
from innt_lib.system.tensors import MEAN, STD, evaluating, standardise

Target = Literal["label", "predicted"]
Which = Literal["noisy", "clean"]
Reference = Literal["image", "explanation"]
Fill = Literal["mean", "black"]
VERSION = 1  # part of every kept table's name: raise it when the same input gives other numbers


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How Eq. 15 and 16 are read; the defaults and their reasons are in ``docs/readings.md``.

    Args:
        target: the class that is explained, for both images of a pair: the true ``"label"``, or
            the class ``"predicted"`` on the clean image.
        mask_image: which image is seen through the noisy image's map.
        reference: Y_clean is the probability on the full clean ``"image"``, or on the clean image
            seen through its own map (its ``"explanation"``).
        fill: what masked pixels fade to: the data's ``"mean"`` colour (0 after standardising), or
            ``"black"`` (0 before :func:`innt_lib.data.standardise`).

    Raises:
        ValueError: a value that is not one of these.
    """

    target: Target = "label"
    mask_image: Which = "noisy"
    reference: Reference = "image"
    fill: Fill = "mean"

    def __post_init__(self) -> None:
        valid = {"target": Target, "mask_image": Which, "reference": Reference, "fill": Fill}
        for name, choices in valid.items():
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"{name} (={getattr(self, name)!r}) must be one of {', '.join(get_args(choices))}"
                )


def evaluate(
    network: SplitNetwork,
    images: ImageSet,
    noise: Neighbor,
    *,
    cam: str = "gradcam",
    reading: Reading | None = None,
    batch_size: int = 64,
    seed: int = 0,
    label: str = "evaluating",
) -> pd.DataFrame:
    """Accuracy and explanation metrics of every image, clean against noisy.

    Args:
        network: trained; run on the device of its parameters, its modes left as they were.
        images: the test images.
        noise: drawn once per image from ``seed``: every network meets the same noisy images, in
            whatever batches.
        cam: one of ``cam.CAMS``.
        reading: how Average Drop and Increase are read; the default one if not given.
        batch_size: images at a time; bounds the memory.

    Returns:
        A row an image: ``image``, ``label``, ``predicted``; ``clean_top1``, ``noisy_top1``,
        ``clean_top5``, ``noisy_top5`` (0 or 1; top-5 NaN for fewer than 6 classes);
        ``clean_probability`` (Y_clean), ``masked_probability`` (Y_noise); ``drop``, ``increase``
        (Eq. 16 and 15 in the literature's sense), ``drop_as_printed``, ``increase_as_printed``;
        ``ebpg_clean``, ``ebpg_noisy``, ``pointing_error`` (Eq. 17-18; NaN without boxes or for an
        all-zero map); ``similarity`` (correlation of the two maps, NaN if one is flat).

    Raises:
        ValueError: unknown CAM; a network of another number of classes.
    """
    check_cams([cam])
    reading = reading or Reading()
    tables = []
    starts = range(0, len(images), batch_size)
    with evaluating(network):
        for start in progress(starts, desc=label, unit="batch"):
            rows = range(start, min(start + batch_size, len(images)))
            part = images.select(rows)
            tables.append(_batch(network, part, noise, cam, reading, start, seed))
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "image", list(images.ids))
    return table


def _batch(
    network: SplitNetwork,
    images: ImageSet,
    noise: Neighbor,
    cam: str,
    reading: Reading,
    start: int,
    seed: int,
) -> pd.DataFrame:
    device = next(network.parameters()).device
    clean = standardise(images.tensor().to(device))
    labels = torch.from_numpy(images.labels).to(device)
    ids = torch.arange(start, start + len(images))
    noisy = near_fixed(noise, clean, ids, seed, labels, network)

    if reading.target == "label":
        targets = labels
        of_clean = explain(cam, network, clean, targets)
    else:
        of_clean = explain(cam, network, clean, None)
        targets = of_clean.logits.argmax(1)
    if (classes := of_clean.logits.shape[1]) != len(images.classes):
        raise ValueError(
            f"the network knows {classes} classes, and {images.name} has {len(images.classes)}"
        )
    of_noisy = explain(cam, network, noisy, targets)

    seen = noisy if reading.mask_image == "noisy" else clean
    masked = _probability(_predict(network, mask(seen, of_noisy.maps, reading.fill)), targets)
    if reading.reference == "image":
        reference = _probability(of_clean.logits, targets)
    else:
        explained = mask(clean, of_clean.maps, reading.fill)
        reference = _probability(_predict(network, explained), targets)

    columns: dict[str, Tensor] = {
        "label": labels,
        "predicted": of_clean.logits.argmax(1),
        "clean_top1": metrics.topk_correct(of_clean.logits, labels, 1),
        "noisy_top1": metrics.topk_correct(of_noisy.logits, labels, 1),
    }
    if len(images.classes) > 5:
        columns["clean_top5"] = metrics.topk_correct(of_clean.logits, labels, 5)
        columns["noisy_top5"] = metrics.topk_correct(of_noisy.logits, labels, 5)
    columns |= {
        "clean_probability": reference,
        "masked_probability": masked,
        "drop": metrics.drop(reference, masked),
        "increase": metrics.increase(reference, masked),
        "drop_as_printed": metrics.drop(reference, masked, convention="as_printed"),
        "increase_as_printed": metrics.increase(reference, masked, convention="as_printed"),
        "similarity": metrics.map_similarity(of_clean.maps, of_noisy.maps),
    }
    if images.boxes is not None:
        boxes = torch.from_numpy(images.boxes).to(device)
        columns["ebpg_clean"] = metrics.ebpg(of_clean.maps, boxes)
        columns["ebpg_noisy"] = metrics.ebpg(of_noisy.maps, boxes)
        columns["pointing_error"] = metrics.aepe(columns["ebpg_clean"], columns["ebpg_noisy"])
    return pd.DataFrame({name: values.double().cpu().numpy() for name, values in columns.items()})


def mask(images: Tensor, maps: Tensor, fill: Fill = "mean") -> Tensor:
    """Standardised images ``(B, 3, H, W)`` seen through maps ``(B, H, W)`` in [0, 1].

    Raises:
        ValueError: shapes.
    """
    if images.shape[1] != 3 or images.shape[::2] + images.shape[3:] != maps.shape:
        raise ValueError(
            f"images (of shape {tuple(images.shape)}) must be (B, 3, H, W) and maps (of shape "
            f"{tuple(maps.shape)}) (B, H, W)"
        )
    seen = images * maps[:, None]
    if fill == "black":
        black = torch.tensor([-m / s for m, s in zip(MEAN, STD, strict=True)], device=images.device)
        seen = seen + black[:, None, None] * (1 - maps[:, None])
    return seen


@torch.no_grad()
def _predict(network: SplitNetwork, images: Tensor) -> Tensor:
    logits: Tensor = network(images)
    return logits


def _probability(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.softmax(1).gather(1, targets[:, None]).squeeze(1)
