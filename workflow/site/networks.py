"""The networks of the Play page: exported to ONNX at the seam, with what Grad-CAM and FGSM need.

ONNX knows no backward pass. A small network of plain layers is differentiated layer by layer, which
is a graph like any other; that it is the right one is checked against autograd on every export.
"""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from innt_lib.explain.gradient_cams import head_gradient
from innt_lib.learn.split import SplitNetwork

TOLERANCE = 1e-4
OUTPUTS = ("activations", "logits", "gradient")


class WithGradient(nn.Module):
    r"""A, the logits, and :math:`\nabla_x CE`, without autograd.

    Called with standardised images ``(B, 3, H, W)`` and one-hot labels ``(B, C)``, float32; returns A
    ``(B, K, h, w)``, logits ``(B, C)`` and the gradient ``(B, 3, H, W)`` of each image's cross-entropy.

    Args:
        network: its features and head are sequences of the layers that :func:`pull_back` knows.
    """

    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.features, self.head = network.features, network.head

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        steps, now, activations = [], images, images
        for part in (self.features, self.head):
            for layer in part:
                # Not in place: the input of every layer is needed again.
                after = now.relu() if isinstance(layer, nn.ReLU) else layer(now)
                steps.append((layer, now, after))
                now = after
            if part is self.features:
                activations = now
        others = now.softmax(1) * (1 - labels)
        # softmax - labels, without the cancellation in 1 - p of a network that is sure.
        gradient = others - labels * others.sum(1, keepdim=True)
        for layer, before, after in reversed(steps):
            gradient = pull_back(layer, before, after, gradient)
        return activations, now, gradient


def pull_back(layer: nn.Module, before: Tensor, after: Tensor, gradient: Tensor) -> Tensor:
    """The gradient at a layer's input, given its input, its output and the gradient there.

    Batch normalisation is that of evaluation. Of equal values in a window all get a maximum's gradient
    here, one of them in PyTorch: the same behind a ReLU, where ties are zeros that pass nothing on.

    Raises:
        TypeError: a layer of another kind.
    """
    match layer:
        case nn.Conv2d():
            return F.conv_transpose2d(
                gradient, layer.weight, stride=layer.stride, padding=layer.padding
            )
        case nn.BatchNorm2d():
            scale = layer.weight / (layer.running_var + layer.eps).sqrt()
            return gradient * scale[:, None, None]
        case nn.ReLU():
            return gradient * (after > 0)
        case nn.MaxPool2d():
            size = before.shape[2:]
            return F.interpolate(gradient, size) * (before == F.interpolate(after, size))
        case nn.AdaptiveAvgPool2d():
            size = before.shape[2:]
            cell = before[0, 0].numel() / after[0, 0].numel()
            return F.interpolate(gradient, size) / cell
        case nn.Flatten():
            return gradient.reshape(before.shape)
        case nn.Linear():
            return gradient @ layer.weight
    raise TypeError(f"{type(layer).__name__} is not a layer that the Play page can differentiate")


def cam_weights(head: nn.Module, size: tuple[int, int]) -> Tensor:
    r"""Grad-CAM's :math:`\alpha` (Eq. 3) of a head that averages and is linear behind: ``(C, K)``.

    A map of size (h, w), averaged over a grid of cells and weighted by W, moves the logit by
    :math:`W_{c,k,cell}` times the cell's share of its positions, whatever the picture. So
    :math:`\alpha_{c,k} = \frac{1}{hw} \sum_{cell} W_{c,k,cell}`.

    Raises:
        TypeError: another head.
    """
    kinds = [type(layer) for layer in head.children()]
    if kinds != [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]:
        raise TypeError(f"head ({kinds}) must be average pooling and one linear layer")
    pool, _, linear = head.children()
    cells = int(np.prod(np.broadcast_to(pool.output_size, 2)))
    weights = linear.weight.detach().unflatten(1, (-1, cells))
    return weights.sum(2) / (size[0] * size[1])


@dataclass(frozen=True)
class Exported:
    """An ONNX graph with the outputs of ``WithGradient``, and Grad-CAM's weights ``(C, K)``."""

    onnx: bytes
    weights: np.ndarray


def export(network: SplitNetwork, images: Tensor, labels: Tensor) -> Exported:
    """Export a network, and compare what comes out with PyTorch's, autograd's and Grad-CAM's.

    Args:
        network: trained, on the CPU, in evaluation mode.
        images: ``(B, 3, H, W)``, standardised: those it is compared on, with PyTorch in float64.
        labels: ``(B,)``.

    Raises:
        ValueError: an output is further than ``TOLERANCE`` from PyTorch's, relative to its largest.
        TypeError: a network that is not made of the layers known here.
    """
    exact = copy.deepcopy(network).double().eval()
    leaf = images.double().requires_grad_()
    activations = exact.features(leaf)
    logits = exact.head(activations)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), leaf)
    _, at_seam, _ = head_gradient(activations, exact.head, labels)
    weights = cam_weights(network.head, tuple(activations.shape[2:]))
    compare("Grad-CAM's weights", weights[labels], at_seam.mean((2, 3)))

    onehot = F.one_hot(labels, logits.shape[1]).float()
    stream = io.BytesIO()
    program = torch.onnx.export(
        WithGradient(network).eval(), (images[:1], onehot[:1]), input_names=["images", "labels"],
        output_names=list(OUTPUTS), dynamo=True, verbose=False,
    )  # fmt: skip
    program.save(stream)
    session = onnxruntime.InferenceSession(stream.getvalue())
    for image, label, *wanted in zip(images, onehot, activations, logits, gradient, strict=True):
        found = session.run(OUTPUTS, {"images": image[None].numpy(), "labels": label[None].numpy()})
        for name, ours, theirs in zip(OUTPUTS, found, wanted, strict=True):
            compare(name, torch.from_numpy(ours)[0], theirs)
    return Exported(stream.getvalue(), weights.numpy())


def compare(name: str, found: Tensor, wanted: Tensor) -> None:
    """Raise ValueError if the largest difference is above ``TOLERANCE`` of the largest value."""
    error = float((found - wanted).detach().abs().max() / wanted.detach().abs().max())
    if not error <= TOLERANCE:
        raise ValueError(f"{name}: exported and PyTorch's differ by {error:.2g} of the largest")
