"""Class activation maps on the seam: A computed once without a graph, only the head differentiated.

    maps, logits = explain("gradcam", network, images, labels)

No hooks and no target layers: the maps explain what ``network.head`` makes of
``A = network.features(images)``. Definitions follow the methods' papers; where the well-known
implementations say something else, the function concerned says so.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from innt_lib.explain.gradient_cams import grad_cam, grad_cam_pp, layer_cam
from innt_lib.explain.gradient_free_cams import score_cam
from innt_lib.explain.seam import Explanation, Head, Split, to_image_size
from innt_lib.system.tensors import evaluating

CAMS: dict[str, str] = {
    "gradcam": "Grad-CAM (Selvaraju et al. 2017; Eq. 3-4)",
    "gradcam++": "Grad-CAM++ (Chattopadhay et al. 2018)",
    "scorecam": "Score-CAM (Wang et al. 2020): without gradients",
    "layercam": "LayerCAM (Jiang et al. 2021): one weight an element",
}


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


_GRADIENT_CAMS: dict[str, Callable[[Tensor, Head, Tensor | None], Explanation]] = {
    "gradcam": grad_cam,
    "gradcam++": grad_cam_pp,
    "layercam": layer_cam,
}


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
