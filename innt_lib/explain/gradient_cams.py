"""Class activation maps from the gradient of the head: Grad-CAM and its relatives.

:func:`head_gradient` makes A and g = dy/dA, with y the logit of the target; every map here is a few
operations on the two, so that one pass through the head serves them all. A and g are ``(B, K, h, w)``,
the maps ``(B, h, w)``: raw, nonnegative, not normalised, at the resolution of A.

If the head averages each map and is linear behind that, g is the same everywhere in a map, and
Grad-CAM, XGrad-CAM and HiResCAM are one and the same.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from innt_lib.explain.seam import Explanation, Head, checked_targets
from innt_lib.system.tensors import wide


def grad_cam_map(a: Tensor, g: Tensor) -> Tensor:
    r"""Grad-CAM (Eq. 3-4): :math:`\alpha_k = \frac{1}{hw} \sum_{ij} g^k_{ij}`,
    :math:`L = ReLU(\sum_k \alpha_k A^k)`."""
    return (g.mean((2, 3), keepdim=True) * a).sum(1).relu()


def grad_cam_pp_map(a: Tensor, g: Tensor, *, eps: float = 0.0) -> Tensor:
    r"""Grad-CAM++ (its Eq. 19 and 7), the class score being :math:`\exp(y_c)`.

    :math:`w_k = \sum_{ij} \alpha^k_{ij} ReLU(g^k_{ij})`,
    :math:`\alpha = g^2 / (2 g^2 + g^3 \sum_{ab} A^k_{ab})`.

    Args:
        eps: added to the denominator. 0 is the paper's equation. pytorch-grad-cam adds 1e-6,
            which outweighs :math:`2 g^2` wherever a gradient is below 7e-4, as many are under an
            average-pooling head, and there makes the weights cubes of the gradient.
    """
    g = g.relu()  # the other gradients weigh nothing
    # alpha with g^2 cancelled, so that small gradients do not underflow.
    tiny = torch.finfo(g.dtype).tiny
    below = 2 + g * a.sum((2, 3), keepdim=True) + eps / g.square().clamp(min=tiny)
    weights = (g / torch.where(below == 0, 1, below)).sum((2, 3), keepdim=True)
    return (weights * a).sum(1).relu()


def xgrad_cam_map(a: Tensor, g: Tensor) -> Tensor:
    r"""XGrad-CAM (Fu et al. 2020): :math:`w_k = \sum_{ij} g^k_{ij} A^k_{ij} / \sum_{ij} A^k_{ij}`.

    A map whose sum is 0 weighs nothing. Meant for maps of at least 0: where they can be negative, sums
    near 0 give it weights without bound.
    """
    total = a.sum((2, 3), keepdim=True)
    weights = (g * a).sum((2, 3), keepdim=True) / torch.where(total == 0, 1, total)
    return (weights * a).sum(1).relu()


def hires_cam_map(a: Tensor, g: Tensor) -> Tensor:
    r"""HiResCAM (Draelos and Carin 2020): :math:`L = ReLU(\sum_k g^k \odot A^k)`."""
    return (g * a).sum(1).relu()


def layer_cam_map(a: Tensor, g: Tensor) -> Tensor:
    r"""LayerCAM (Jiang et al. 2021): :math:`L = ReLU(\sum_k ReLU(g^k) \odot A^k)`."""
    return (g.relu() * a).sum(1).relu()


GRADIENT_CAMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradcam": grad_cam_map,
    "gradcam++": grad_cam_pp_map,
    "gradcam++_as_in_library": lambda a, g: grad_cam_pp_map(a, g, eps=1e-6),
    "xgradcam": xgrad_cam_map,
    "hirescam": hires_cam_map,
    "layercam": layer_cam_map,
}


def head_gradient(
    activations: Tensor, head: Head, targets: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """A and dy/dA, both at least float32, and the logits: one pass through the head.

    Args:
        activations: ``(B, K, h, w)``; no graph is needed.
        head: in evaluation mode; it may change its input in place.
        targets: ``(B,)``, or None for the predicted classes.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Tensors made in inference mode cannot take part in a graph, copies of them can.
        a = activations.clone() if activations.is_inference() else activations.detach()
        leaf = a.requires_grad_()
        logits = head(leaf.clone())  # a copy, for heads that begin with an in-place ReLU
        chosen = checked_targets(targets, logits)
        # Images do not mix in the head, so one backward of the summed scores serves them all.
        score = torch.zeros_like(logits).scatter_(1, chosen[:, None], 1)
        (gradient,) = torch.autograd.grad(logits, leaf, score)
    return wide(leaf.detach()), wide(gradient), logits.detach()


def gradient_cam(
    name: str, activations: Tensor, head: Head, targets: Tensor | None = None
) -> Explanation:
    """One of ``GRADIENT_CAMS`` on A and the head: raw maps ``(B, h, w)`` and logits."""
    a, g, logits = head_gradient(activations, head, targets)
    return Explanation(GRADIENT_CAMS[name](a, g), logits)
