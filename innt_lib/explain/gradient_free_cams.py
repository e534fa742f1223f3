"""Class activation maps without gradients: from what the network makes of masked images or of maps left
out, or from the maps alone."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from innt_lib.explain.seam import Explanation, Head, Split, checked_targets, scale_
from innt_lib.system.progress import progress
from innt_lib.system.tensors import wide

Weighting = Literal["probability", "channel_softmax"]
Sign = Literal["fixed", "as_in_library"]
CHUNK = 64  # masked images a forward pass of Score-CAM, but on a CPU ...
CPU_PIXELS = 2**19  # ... no more pixels than this, so that their maps stay in its cache
CPU_VALUES = (
    2**21
)  # the same of Ablation-CAM's copies of A, of which it takes up to CHUNK elsewhere


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
    for start in progress(starts, desc="Score-CAM", unit="chunk", delay=5):
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


@torch.inference_mode(False)  # where tensors have versions
@torch.no_grad()
def ablation_cam(
    activations: Tensor, head: Head, targets: Tensor | None = None, *, chunk: int | None = None
) -> Explanation:
    r"""Ablation-CAM (Desai and Ramaswamy 2020): :math:`w_k = y - y_k`, y_k without map k.

    The paper divides by y, which only scales the map, and turns it inside out where y is negative (as
    for a class that is not predicted): left out. Only the head is run again, and only for maps that are
    not zero everywhere: the others weigh nothing.

    Args:
        activations: ``(B, K, h, w)``.
        head: in evaluation mode.
        targets: ``(B,)``, or None for the predicted classes.
        chunk: ablated copies of A a pass through the head; default: :func:`copies_at_once`.

    Returns:
        Raw maps ``(B, h, w)`` and the logits.

    Raises:
        ValueError: as ``explain``; chunk below 1.
    """
    activations = activations.clone() if activations.is_inference() else activations
    logits = head(activations.clone())
    targets = checked_targets(targets, logits)
    a = wide(activations)
    y = wide(logits).gather(1, targets[:, None])
    scores = y.expand(a.shape[:2]).clone()
    alive = a.abs().amax((2, 3)).gt(0)
    chunk = copies_at_once(activations) if chunk is None else chunk
    if chunk < 1:
        raise ValueError(f"chunk (={chunk}) must be at least 1")
    copies = activations.new_empty(chunk, *activations.shape[1:])
    rows = copies.view(-1, *copies.shape[2:])  # map by map
    for i, maps in enumerate(activations.contiguous()):
        written = -1
        for channels in alive[i].nonzero().flatten().split(chunk):
            # Filled once an image: a map is taken out and put back, unless the head wrote on the copies.
            if copies._version != written:
                copies.copy_(maps.expand_as(copies))
            out = torch.arange(len(channels), device=channels.device) * len(maps) + channels
            rows.index_fill_(0, out, 0)
            written = copies._version
            seen = wide(head(copies[: len(channels)]))[:, targets[i]]
            scores[i, channels] = seen.to(scores.dtype)
            if copies._version == written:
                rows.index_copy_(0, out, maps[channels])
                written = copies._version
    weights = (y - scores)[:, :, None, None]
    return Explanation((weights * a).sum(1).relu(), logits)


def copies_at_once(activations: Tensor) -> int:
    """How many copies of an image's A go through the head in one pass: on a CPU, what its cache holds."""
    size = activations.shape[1:].numel()
    return max(1, min(CHUNK, CPU_VALUES // size)) if activations.device.type == "cpu" else CHUNK


@torch.no_grad()
def eigen_cam(activations: Tensor, *, sign: Sign = "fixed") -> Tensor:
    r"""Eigen-CAM (Muhammad and Yeasin 2020): A, as hw x K, on its first right singular vector.

    It asks neither the class nor the head. A singular vector has no sign of its own.

    Args:
        activations: ``(B, K, h, w)``.
        sign: ``"fixed"``: that with which the map's sum is positive, so that for maps of at least 0 it
            is nowhere negative; ``"as_in_library"``: each channel less its mean and the sign as it
            comes, as in pytorch-grad-cam: a map that may show the background.

    Returns:
        Raw maps ``(B, h, w)``, rectified.

    Raises:
        ValueError: unknown sign.
    """
    if sign not in get_args(Sign):
        raise ValueError(f"sign (={sign!r}) must be one of {', '.join(get_args(Sign))}")
    places = wide(activations).flatten(2).transpose(1, 2)  # (B, hw, K)
    if sign == "as_in_library":
        centred = (places - places.mean(1, keepdim=True)).cpu().numpy()
        right = np.linalg.svd(centred, full_matrices=False)[2][:, 0]
        projected = torch.from_numpy(np.einsum("bpk,bk->bp", centred, right)).to(places)
    else:
        # A v, by whichever of A^T A (K x K, eigenvector v) and A A^T (hw x hw, A v / |A v|) is smaller.
        if places.shape[1] > places.shape[2]:
            vectors = torch.linalg.eigh(places.transpose(1, 2) @ places)[1]
            projected = (places @ vectors[..., -1:]).squeeze(2)
        else:
            projected = torch.linalg.eigh(places @ places.transpose(1, 2))[1][..., -1]
            # Of nothing it is any unit vector.
            projected = projected * places.flatten(1).any(1, keepdim=True)
        total = projected.sum(1, keepdim=True)
        projected = torch.where(total < 0, -projected, projected)
    return projected.reshape(len(places), *activations.shape[2:]).relu()
