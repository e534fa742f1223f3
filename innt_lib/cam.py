"""Class activation maps on the seam: A computed once without a graph, only the head differentiated.

    maps, logits = explain("gradcam", network, images, labels)

No hooks and no target layers: the maps explain what ``network.head`` makes of
``A = network.features(images)``. Definitions follow the methods' papers; where the well-known
implementations say something else, the function concerned says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

Head = Callable[[Tensor], Tensor]
Weighting = Literal["probability", "channel_softmax"]
CHUNK = 64  # masked images a forward pass of Score-CAM, but on a CPU ...
CPU_PIXELS = 2**19  # ... no more pixels than this, so that their maps stay in its cache
CAMS: dict[str, str] = {
    "gradcam": "Grad-CAM (Selvaraju et al. 2017; Eq. 3-4)",
    "gradcam++": "Grad-CAM++ (Chattopadhay et al. 2018)",
    "scorecam": "Score-CAM (Wang et al. 2020): without gradients",
    "layercam": "LayerCAM (Jiang et al. 2021): one weight an element",
}


class Split(Protocol):
    """Anything with ``features`` (images -> A) and ``head`` (A -> logits), as ``SplitNetwork``."""

    @property
    def features(self) -> Callable[[Tensor], Tensor]: ...
    @property
    def head(self) -> Head: ...


class Explanation(NamedTuple):
    """Nonnegative maps ``(B, h, w)`` and the logits ``(B, C)`` of the images, without graph."""

    maps: Tensor
    logits: Tensor


def explain(
    name: str,
    network: Split,
    images: Tensor,
    targets: Tensor | None = None,
    *,
    chunk: int | None = None,
) -> Explanation:
    """Heat maps of a batch at image size and, from the same forward pass, its logits.

    Args:
        name: one of ``CAMS``.
        network: run in evaluation mode, every submodule's mode restored afterwards; its
            parameters' ``.grad`` are left alone.
        images: standardised, ``(B, 3, H, W)``, on the network's device.
        targets: the class explained in each image, integer ``(B,)``; the predicted one if None.
        chunk: masked images per forward pass of Score-CAM, which bounds its memory (default:
            ``CHUNK``, on a CPU within ``CPU_PIXELS``); the other CAMs take the batch as it is.

    Returns:
        Maps ``(B, H, W)`` in [0, 1], each with maximum 1 or all zero (float32; float64 for a
        float64 network), and logits ``(B, C)``. No map depends on the other images of the batch.

    Raises:
        ValueError: unknown CAM; images not floating point ``(B, 3, H, W)``; a network that is not
            split; features that are not ``(B, K, h, w)`` or change the images; targets of another
            shape or type, or out of range; chunk below 1.
    """
    if name not in CAMS:
        raise ValueError(f"cam (={name!r}) must be one of {', '.join(CAMS)}")
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            f"images ({images.dtype}, of shape {tuple(images.shape)}) must be standardised: floating "
            "point, (B, 3, H, W)"
        )
    if not (hasattr(network, "features") and hasattr(network, "head")):
        raise ValueError(
            f"network (a {type(network).__name__}) must have features and head: split it "
            "(innt_lib.SplitNetwork); of a wrapper give its .module"
        )
    with evaluating(network, network.features, network.head):
        with torch.no_grad():
            activations = _features(network, images)
        if not isinstance(activations, Tensor):
            raise ValueError(
                f"features (a {type(activations).__name__}) must return one tensor of maps"
            )
        if activations.ndim != 4:
            raise ValueError(
                f"features (of shape {tuple(activations.shape)}) must be maps (B, K, h, w): split "
                "the network before it flattens them"
            )
        if name == "scorecam":
            found = score_cam(activations, network, targets, images, chunk=chunk)
        else:
            found = _GRADIENT_CAMS[name](activations, network.head, targets)
    return Explanation(to_image_size(found.maps, images.shape[-2:]), found.logits)


def cam(
    name: str,
    network: Split,
    images: Tensor,
    targets: Tensor | None = None,
    *,
    chunk: int | None = None,
) -> Tensor:
    """The maps ``(B, H, W)`` of ``explain``, for callers that need no logits."""
    return explain(name, network, images, targets, chunk=chunk).maps


# --- on A and the head ----------------------------------------------------------------------------
# All of these take A of shape (B, K, h, w), a head in evaluation mode and targets (B,) or None, and
# return raw maps (B, h, w): nonnegative, not normalised, at the resolution of A, at least float32.


def grad_cam(activations: Tensor, head: Head, targets: Tensor | None = None) -> Explanation:
    r"""Grad-CAM (Eq. 3-4).

    :math:`\alpha_k = \frac{1}{hw} \sum_{ij} \partial y_c / \partial A^k_{ij}`,
    :math:`L = ReLU(\sum_k \alpha_k A^k)`, with y_c the logit of the target.
    """
    a, g, logits = _head_gradient(activations, head, targets)
    alpha = g.mean((2, 3), keepdim=True)
    return Explanation((alpha * a).sum(1).relu(), logits)


def grad_cam_pp(
    activations: Tensor, head: Head, targets: Tensor | None = None, *, eps: float = 0.0
) -> Explanation:
    r"""Grad-CAM++ (its Eq. 19 and 7), the class score being :math:`\exp(y_c)`.

    :math:`w_k = \sum_{ij} \alpha^k_{ij} ReLU(g^k_{ij})`,
    :math:`\alpha = g^2 / (2 g^2 + g^3 \sum_{ab} A^k_{ab})`, :math:`g = \partial y_c / \partial A`.

    Args:
        eps: added to the denominator. 0 is the paper's equation. pytorch-grad-cam adds 1e-6,
            which outweighs :math:`2 g^2` wherever a gradient is below 7e-4, as many are under an
            average-pooling head, and there makes the weights cubes of the gradient.
    """
    a, g, logits = _head_gradient(activations, head, targets)
    g = g.relu()  # the other gradients weigh nothing
    # alpha with g^2 cancelled, so that small gradients do not underflow.
    tiny = torch.finfo(g.dtype).tiny
    below = 2 + g * a.sum((2, 3), keepdim=True) + eps / g.square().clamp(min=tiny)
    weights = (g / torch.where(below == 0, 1, below)).sum((2, 3), keepdim=True)
    return Explanation((weights * a).sum(1).relu(), logits)


def layer_cam(activations: Tensor, head: Head, targets: Tensor | None = None) -> Explanation:
    r"""LayerCAM: :math:`L = ReLU(\sum_k ReLU(\partial y_c / \partial A^k) \odot A^k)`."""
    a, g, logits = _head_gradient(activations, head, targets)
    return Explanation((g.relu() * a).sum(1).relu(), logits)


_GRADIENT_CAMS: dict[str, Callable[[Tensor, Head, Tensor | None], Explanation]] = {
    "gradcam": grad_cam,
    "gradcam++": grad_cam_pp,
    "layercam": layer_cam,
}


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
    targets = _checked_targets(targets, logits)
    a = _wide(activations)
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
        seen = network.head(network.features(images[rows].mul_(_scale_(masks))))
        if weighting == "probability":
            seen = _wide(seen).softmax(1)
        scores[rows, channels] = seen.gather(1, targets[rows, None]).squeeze(1).to(scores.dtype)
    if weighting == "channel_softmax":
        scores = scores.softmax(1).nan_to_num(0)  # an image none of whose channels sees anything
    return Explanation((scores[:, :, None, None] * a).sum(1).relu(), logits)


def to_image_size(maps: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Raw maps ``(B, h, w)``, rectified and scaled to [0, 1] at an image's size ``(H, W)``.

    ReLU, minimum to 0 and maximum to 1, bilinear resize (as OpenCV's), scaled again, as
    pytorch-grad-cam does, save that no constant is added to the maximum: a map's overall scale
    never matters. A map without positive or without differing values becomes all zero; a map
    with a NaN becomes all NaN.

    Raises:
        ValueError: maps not ``(B, h, w)``.
    """
    if maps.ndim != 3:
        raise ValueError(f"maps (of shape {tuple(maps.shape)}) must be (B, h, w)")
    scaled = _scale_(_wide(maps).relu().unsqueeze(1))
    resized = F.interpolate(scaled, size=tuple(size), mode="bilinear", align_corners=False)
    return _scale_(resized).squeeze(1)


@contextmanager
def evaluating(*parts: object) -> Iterator[None]:
    """Evaluation mode for those parts that are modules; every submodule's own mode afterwards."""
    modules = [module for part in parts if isinstance(part, nn.Module) for module in part.modules()]
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def _features(network: Split, images: Tensor) -> Tensor:
    if images.is_inference():  # such tensors have no version
        return network.features(images.clone())
    version = images._version
    activations = network.features(images)
    if images._version != version:
        raise ValueError(
            "the network's features change the images that they are given (x.sub_ at their start?): "
            "let them work on a copy"
        )
    return activations


def _head_gradient(
    activations: Tensor, head: Head, targets: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """A and d y_target / d A, both at least float32, and the logits: one pass through the head."""
    with torch.inference_mode(False), torch.enable_grad():
        # Tensors made in inference mode cannot take part in a graph, copies of them can.
        a = activations.clone() if activations.is_inference() else activations.detach()
        leaf = a.requires_grad_()
        logits = head(leaf.clone())  # a copy, for heads that begin with an in-place ReLU
        chosen = _checked_targets(targets, logits)
        # Images do not mix in the head, so one backward of the summed scores serves them all.
        score = torch.zeros_like(logits).scatter_(1, chosen[:, None], 1)
        (gradient,) = torch.autograd.grad(logits, leaf, score)
    return _wide(leaf.detach()), _wide(gradient), logits.detach()


def _checked_targets(targets: Tensor | None, logits: Tensor) -> Tensor:
    if targets is None:
        return logits.detach().argmax(1)
    targets = torch.as_tensor(targets)  # a list or an array will do
    if targets.shape != logits.shape[:1]:
        raise ValueError(
            f"targets (of shape {tuple(targets.shape)}) must be ({len(logits)},), a class an image"
        )
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise ValueError(f"targets (of {targets.dtype}) must be integers")
    classes = logits.shape[1]
    if wrong := targets[(targets < 0) | (targets >= classes)].tolist():
        raise ValueError(f"targets (with {wrong[0]}) must lie in 0 to {classes - 1}")
    return targets.to(logits.device, torch.int64)


def _scale_(maps: Tensor) -> Tensor:
    """In place, each map of ``(B, 1, h, w)`` from its minimum at 0 to its maximum at 1; flat ones to 0."""
    maps.sub_(maps.amin((2, 3), keepdim=True))
    top = maps.amax((2, 3), keepdim=True)
    return maps.div_(torch.where(top == 0, 1, top))


def _wide(values: Tensor) -> Tensor:
    """Half-precision values as float32, others as they are."""
    return values if values.dtype == torch.float64 else values.float()
