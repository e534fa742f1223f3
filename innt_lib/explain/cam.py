"""Class activation maps on the seam: A computed once without a graph, only the head differentiated.

    maps, logits = explain("gradcam", network, images, labels)

No hooks and no target layers: the maps explain what ``network.head`` makes of
``A = network.features(images)``. Definitions follow the methods' papers; where the well-known
implementations say something else, the function concerned says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from innt_lib.explain.gradient_cams import GRADIENT_CAMS, head_gradient
from innt_lib.explain.gradient_free_cams import ablation_cam, eigen_cam, score_cam
from innt_lib.explain.seam import Explanation, Split, checked_targets, to_image_size
from innt_lib.system.tensors import evaluating

CAMS: dict[str, str] = {
    "gradcam": "Grad-CAM (Selvaraju et al. 2017; Eq. 3-4)",
    "gradcam++": "Grad-CAM++ (Chattopadhay et al. 2018)",
    "xgradcam": "XGrad-CAM (Fu et al. 2020)",
    "hirescam": "HiResCAM (Draelos and Carin 2020): one weight an element, of either sign",
    "layercam": "LayerCAM (Jiang et al. 2021): one weight an element",
    "ablationcam": "Ablation-CAM (Desai and Ramaswamy 2020): what the score loses without a map",
    "eigencam": "Eigen-CAM (Muhammad and Yeasin 2020): of no class",
    "scorecam": "Score-CAM (Wang et al. 2020): without gradients",
    "gradcam++_as_in_library": "Grad-CAM++ with pytorch-grad-cam's 1e-6 in its denominator",
    "eigencam_as_in_library": "Eigen-CAM centred and with the sign as it comes, as in pytorch-grad-cam",
}


def explain_all(
    names: Sequence[str],
    network: Split,
    images: Tensor,
    targets: Tensor | None = None,
    *,
    chunk: int | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Heat maps of a batch by several methods, from one forward pass and one gradient of the head.

    Args:
        names: of ``CAMS``.
        network: run in evaluation mode, every submodule's mode restored afterwards; its
            parameters' ``.grad`` are left alone.
        images: standardised, ``(B, 3, H, W)``, on the network's device.
        targets: the class explained in each image, integer ``(B,)``; the predicted one if None.
        chunk: masked images per forward pass of Score-CAM, which bounds its memory (default:
            ``CHUNK``, on a CPU within ``CPU_PIXELS``); the other CAMs take the batch as it is.

    Returns:
        By name, maps ``(B, H, W)`` in [0, 1], each with maximum 1 or all zero (float32; float64 for a
        float64 network), and the logits ``(B, C)``. No map depends on the other images of the batch.

    Raises:
        ValueError: unknown CAM; images not floating point ``(B, 3, H, W)``; a network that is not
            split; features that are not ``(B, K, h, w)`` or change the images; targets of another
            shape or type, or out of range; chunk below 1.
    """
    check_cams(names)
    _check_input(network, images)
    size = images.shape[-2:]
    with evaluating(network, network.features, network.head):
        activations = _activations(network, images)
        if GRADIENT_CAMS.keys() & set(names):
            a, g, logits = head_gradient(activations, network.head, targets)
        else:
            with torch.no_grad():
                logits = network.head(activations.clone())
        explained = checked_targets(targets, logits)
        found = {}
        for name in dict.fromkeys(names):
            if name in GRADIENT_CAMS:
                raw = GRADIENT_CAMS[name](a, g)
            elif name == "ablationcam":
                raw = ablation_cam(activations, network.head, explained).maps
            elif name == "scorecam":
                raw = score_cam(activations, network, explained, images, chunk=chunk).maps
            else:
                raw = eigen_cam(
                    activations, sign="fixed" if name == "eigencam" else "as_in_library"
                )
            found[name] = to_image_size(raw, size)
    return found, logits


def explain(
    name: str,
    network: Split,
    images: Tensor,
    targets: Tensor | None = None,
    *,
    chunk: int | None = None,
) -> Explanation:
    """Heat maps of a batch by one method and, from the same forward pass, its logits.

    Everything is as in :func:`explain_all`; returns maps ``(B, H, W)`` and logits ``(B, C)``.
    """
    maps, logits = explain_all([name], network, images, targets, chunk=chunk)
    return Explanation(maps[name], logits)


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


def check_cams(names: Sequence[str]) -> None:
    """Raise ValueError, naming those there are, unless all names are of ``CAMS``."""
    for name in names:
        if name not in CAMS:
            raise ValueError(f"cam (={name!r}) must be one of {', '.join(CAMS)}")


def _check_input(network: Split, images: Tensor) -> None:
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


def _activations(network: Split, images: Tensor) -> Tensor:
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
    return activations


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
