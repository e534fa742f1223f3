"""Networks split at the seam: ``features`` (image -> last convolutional maps A) and ``head`` (A -> logits).

Everything the paper does lives on that seam: Reg_na compares A of clean and noisy images, the CAM
family needs A and the gradient of the head alone. Any other CNN joins in by being split the same way:

    network = SplitNetwork(features, head)          # two modules of your own
    NETWORKS["mine"] = lambda classes, weights: SplitNetwork(my_features(), my_head(classes))
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from innt_lib import paths
from innt_lib.cam import evaluating
from innt_lib.files import write


class SplitNetwork(nn.Module):
    """A classifier made of two modules.

    Args:
        features: maps images ``(B, 3, H, W)`` to the last convolutional maps ``(B, K, h, w)``.
        head: maps those to logits ``(B, C)``; it must not change them in place.

    Raises:
        ValueError: a part that is a function or a method: its weights would not be trained or saved.
    """

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        for name, part in (("features", features), ("head", head)):
            if not isinstance(part, nn.Module):
                raise ValueError(
                    f"{name} (a {type(part).__name__}) must be an nn.Module, so that its weights are "
                    "found: wrap what it calls in one"
                )
        self.features = features
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` of standardised images ``(B, 3, H, W)``."""
        logits: Tensor = self.head(self.features(images))
        return logits


def build(name: str, classes: int, weights: str = "none", seed: int = 0) -> SplitNetwork:
    """A network by name, its random parts drawn from the seed.

    Args:
        name: one of ``NETWORKS``.
        classes: number of classes, at least 2.
        weights: ``"none"``: random; ``"imagenet"``: torchvision's ImageNet weights (downloaded
            once) under a new last layer; else the path of a checkpoint (``weights.safetensors`` of
            a run; a relative path is one below the root) of the same network. A checkpoint with
            another number of classes lends its features only when its path is prefixed with
            ``features:``.
        seed: of the initialisation; the global random state is left as it was.

    Raises:
        ValueError: unknown network; fewer than 2 classes; no ImageNet weights for this network;
            a checkpoint of another network or number of classes.
        FileNotFoundError: no such checkpoint.
    """
    if name not in NETWORKS:
        raise ValueError(f"network (={name!r}) must be one of {', '.join(NETWORKS)}")
    if classes < 2:
        raise ValueError(f"classes (={classes}) must be at least 2")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        network = NETWORKS[name](classes, "imagenet" if weights == "imagenet" else None)
    if path := checkpoint(weights):
        load_checkpoint(network, path, features_only=weights.startswith("features:"), name=name)
    return network.to(memory_format=torch.channels_last)


def checkpoint(weights: str) -> Path | None:
    """The file that ``weights`` of :func:`build` names; None for random and ImageNet weights."""
    if weights in ("none", "imagenet"):
        return None
    return paths.resolve(weights.removeprefix("features:"))


def load_checkpoint(
    network: SplitNetwork, path: Path | str, *, features_only: bool = False, name: str = "network"
) -> None:
    """Copy a safetensors checkpoint into a network, all or nothing.

    Args:
        network: receives the weights.
        path: a file whose tensors are named as in ``network.state_dict()``.
        features_only: take the convolutional part and leave the head as it is.
        name: of the network, for the error text.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a safetensors file; tensors missing, left over or of another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; give 'none', 'imagenet' or a file")
    try:
        found = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a safetensors checkpoint ({error}); what torch.save wrote is none"
        ) from None
    wanted = network.state_dict()
    if features_only:
        found = {k: v for k, v in found.items() if k.startswith("features.")}
        wanted = {k: v for k, v in wanted.items() if k.startswith("features.")}
    if odd := sorted(wanted.keys() ^ found.keys()):
        raise ValueError(
            f"{path} is a checkpoint of another network than {name} (see {odd[0]}"
            + ("; saved from a wrapper: save its .module)" if "module." in "".join(odd) else ")")
        )
    for key, tensor in wanted.items():
        if tensor.shape != found[key].shape:
            raise ValueError(
                f"{path} does not fit {name}: {key} is {tuple(found[key].shape)} there and "
                f"{tuple(tensor.shape)} here (another number of classes? 'features:{path}' takes "
                "the convolutional part alone)"
            )
    network.load_state_dict(found, strict=False)


def save_checkpoint(network: nn.Module, path: Path | str) -> None:
    """Write a network's weights as safetensors, whole or not at all; :func:`build` reads them."""
    # Copies, as safetensors takes no two names for one tensor: a layer may be used twice.
    content = save({k: v.cpu().contiguous().clone() for k, v in network.state_dict().items()})
    write(Path(path), lambda stream: stream.write(content))


def map_size(network: SplitNetwork, size: int) -> int:
    """Side of the last convolutional map for square images of ``size`` pixels; 0 if it has none."""
    some = next(network.parameters())
    try:
        with torch.no_grad(), evaluating(network):
            return int(network.features(some.new_zeros(1, 3, size, size)).shape[-1])
    except RuntimeError as error:
        if "output size" in str(error).lower() or "kernel size" in str(error).lower():
            return 0  # a pooling or convolution ran out of pixels
        raise


def check_size(network: SplitNetwork, size: int, name: str = "network") -> None:
    """Raise ValueError, naming the smallest size that works, if the last map would be under 2 x 2."""
    side = map_size(network, size)
    if side >= 2:
        return
    sizes = range(size + 1, max(512, 2 * size) + 1)
    if map_size(network, sizes[-1]) < 2:
        raise ValueError(
            f"the last map of {name} is {side} x {side} for images of {size} pixels and no larger for "
            f"{sizes[-1]}: let its features end before they are pooled"
        )
    smallest = sizes[bisect_left(sizes, 2, key=lambda larger: map_size(network, larger))]
    raise ValueError(
        f"image size (={size}) is too small for {name}: its last map would be {side} x {side}; "
        f"the smallest size that works is {smallest}"
    )


# --- torchvision's networks ------------------------------------------------------------------------


def _alexnet(classes: int, weights: str | None) -> SplitNetwork:
    from torchvision.models import AlexNet_Weights, alexnet

    net = alexnet(weights=AlexNet_Weights.IMAGENET1K_V1 if weights else None)
    net.classifier[6] = nn.Linear(4096, classes)
    return SplitNetwork(net.features, nn.Sequential(net.avgpool, nn.Flatten(), net.classifier))


def _vgg16(classes: int, weights: str | None) -> SplitNetwork:
    from torchvision.models import VGG16_Weights, vgg16

    net = vgg16(weights=VGG16_Weights.IMAGENET1K_V1 if weights else None)
    net.classifier[6] = nn.Linear(4096, classes)
    return SplitNetwork(net.features, nn.Sequential(net.avgpool, nn.Flatten(), net.classifier))


def _resnet18(classes: int, weights: str | None) -> SplitNetwork:
    from torchvision.models import ResNet18_Weights, resnet18

    net = resnet18(weights=ResNet18_Weights.IMAGENET1K_V1 if weights else None)
    parts = list(net.named_children())[:-2]  # all but avgpool and fc
    head = nn.Sequential(net.avgpool, nn.Flatten(), nn.Linear(512, classes))
    return SplitNetwork(nn.Sequential(OrderedDict(parts)), head)


# --- small networks --------------------------------------------------------------------------------


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016), projected where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _resnet20(classes: int, weights: str | None) -> SplitNetwork:
    """The CIFAR ResNet with 20 layers (He et al. 2016, Section 4.2): 16, 32, 64 channels."""
    _refuse_imagenet("resnet20", weights)
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)]
    layers.append(nn.ReLU(inplace=True))
    for before, after, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers.append(_BasicBlock(before, after, stride))
        layers += [_BasicBlock(after, after, 1) for _ in range(2)]
    features = nn.Sequential(*layers)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    return SplitNetwork(features, head)


def _smallcnn(classes: int, weights: str | None) -> SplitNetwork:
    """A plain VGG-like network of five convolutions for laptops: 64 maps at 1/4 of the resolution."""
    _refuse_imagenet("smallcnn", weights)
    layers: list[nn.Module] = []
    for before, after, pool in (
        (3, 16, True), (16, 32, True), (32, 64, False), (64, 64, False), (64, 64, False),
    ):  # fmt: skip
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers.append(nn.ReLU(inplace=True))
        if pool:
            layers.append(nn.MaxPool2d(2))
    # Four regions, so that the head knows roughly where a part was.
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64 * 4, classes))
    return SplitNetwork(nn.Sequential(*layers), head)


def _refuse_imagenet(name: str, weights: str | None) -> None:
    if weights:
        raise ValueError(f"there are no ImageNet weights for {name}; use 'none' or a checkpoint")


NETWORKS: dict[str, Callable[[int, str | None], SplitNetwork]] = {
    "alexnet": _alexnet,
    "vgg16": _vgg16,
    "resnet18": _resnet18,
    "resnet20": _resnet20,
    "smallcnn": _smallcnn,
}
