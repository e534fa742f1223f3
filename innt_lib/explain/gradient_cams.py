"""Class activation maps from the gradient of the head: Grad-CAM and its relatives.

All take A of shape (B, K, h, w), a head in evaluation mode and targets (B,) or None, and return raw
maps (B, h, w): nonnegative, not normalised, at the resolution of A, at least float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from innt_lib.explain.seam import Explanation, Head, checked_targets, wide


def grad_cam(activations: Tensor, head: Head, targets: Tensor | None = None) -> Explanation:
    r"""Grad-CAM (Eq. 3-4).

    :math:`\alpha_k = \frac{1}{hw} \sum_{ij} \partial y_c / \partial A^k_{ij}`,
    :math:`L = ReLU(\sum_k \alpha_k A^k)`, with y_c the logit of the target.
    """
    a, g, logits = head_gradient(activations, head, targets)
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
    a, g, logits = head_gradient(activations, head, targets)
    g = g.relu()  # the other gradients weigh nothing
    # alpha with g^2 cancelled, so that small gradients do not underflow.
    tiny = torch.finfo(g.dtype).tiny
    below = 2 + g * a.sum((2, 3), keepdim=True) + eps / g.square().clamp(min=tiny)
    weights = (g / torch.where(below == 0, 1, below)).sum((2, 3), keepdim=True)
    return Explanation((weights * a).sum(1).relu(), logits)


def layer_cam(activations: Tensor, head: Head, targets: Tensor | None = None) -> Explanation:
    r"""LayerCAM: :math:`L = ReLU(\sum_k ReLU(\partial y_c / \partial A^k) \odot A^k)`."""
    a, g, logits = head_gradient(activations, head, targets)
    return Explanation((g.relu() * a).sum(1).relu(), logits)


def head_gradient(
    activations: Tensor, head: Head, targets: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """A and d y_target / d A, both at least float32, and the logits: one pass through the head."""
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
