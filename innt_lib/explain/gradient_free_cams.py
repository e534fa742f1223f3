"""Class activation maps without gradients, from what the network makes of masked images or maps."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from innt_lib.explain.seam import Explanation, Split, checked_targets, scale_, wide

Weighting = Literal["probability", "channel_softmax"]
CHUNK = 64  # masked images a forward pass of Score-CAM, but on a CPU ...
CPU_PIXELS = 2**19  # ... no more pixels than this, so that their maps stay in its cache


@torch.no_grad()
def score_cam(
    activations: Tensor,
    network: Split,
    targets: Tensor | None,
    images: Tensor,
    *,
    chunk: int | None = None,
    weighting: Weighting = "probability",
) -> Explanation:
    r"""Score-CAM: :math:`L = ReLU(\sum_k w_k A^k)`, w_k from the image seen through map k alone.

    Each channel is upsampled (bilinear) and scaled to [0, 1] to mask the standardised image;
    channels that are flat over an image are skipped and weigh nothing. As in the authors' code no
    score of an empty image is subtracted; unlike it, the maps are summed before upsampling, which
    is the same for maps of at least 0.

    Args:
        images: those of the activations, ``(B, 3, H, W)``.
        chunk: masked images per forward pass, of all images and channels together; no more than
            these are ever held. Default: ``CHUNK``, on a CPU within ``CPU_PIXELS``.
        weighting: ``"probability"``: w_k is the target's softmax probability, as in the authors'
            code; ``"channel_softmax"``: the softmax over channels of the target's logit, with
            corner-aligned upsampling, as in pytorch-grad-cam: a different method in effect.

    Raises:
        ValueError: as ``explain``; unknown weighting.
    """
    if weighting not in get_args(Weighting):
        raise ValueError(
            f"weighting (={weighting!r}) must be one of {', '.join(get_args(Weighting))}"
        )
    if chunk is None:
        fits = CPU_PIXELS // images.shape[-2:].numel() if images.device.type == "cpu" else CHUNK
        chunk = max(1, min(CHUNK, fits))
    if chunk < 1:
        raise ValueError(f"chunk (={chunk}) must be at least 1")
    logits = network.head(activations.clone())
    targets = checked_targets(targets, logits)
    a = wide(activations)
    sees = a.amax((2, 3)) > a.amin((2, 3))
    of_image, of_channel = sees.nonzero(as_tuple=True)
    # -inf is the score of a skipped channel: the softmax over channels gives it no weight.
    scores = a.new_full(sees.shape, -torch.inf if weighting == "channel_softmax" else 0)
    starts = range(0, len(of_image), chunk)
    for start in tqdm(starts, desc="Score-CAM", unit="chunk", leave=False, delay=5, mininterval=1):
        rows, channels = of_image[start : start + chunk], of_channel[start : start + chunk]
        masks = F.interpolate(
            a[rows, channels].unsqueeze(1),
            size=images.shape[-2:],
            mode="bilinear",
            align_corners=weighting == "channel_softmax",
        )
        seen = network.head(network.features(images[rows].mul_(scale_(masks))))
        if weighting == "probability":
            seen = wide(seen).softmax(1)
        scores[rows, channels] = seen.gather(1, targets[rows, None]).squeeze(1).to(scores.dtype)
    if weighting == "channel_softmax":
        scores = scores.softmax(1).nan_to_num(0)  # an image none of whose channels sees anything
    return Explanation((scores[:, :, None, None] * a).sum(1).relu(), logits)
