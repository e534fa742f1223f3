"""Small networks for laptops: they learn from nothing, on pictures of 32 to 64 pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from innt_lib.learn.split import SplitNetwork


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


def _cifar_resnet(blocks: int, classes: int) -> SplitNetwork:
    """The CIFAR ResNet of 6 n + 2 layers (He et al. 2016, Section 4.2): 16, 32, 64 channels."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)]
    layers.append(nn.ReLU(inplace=True))
    for before, after, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers.append(_BasicBlock(before, after, stride))
        layers += [_BasicBlock(after, after, 1) for _ in range(blocks - 1)]
    features = nn.Sequential(*layers)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    return SplitNetwork(features, head)


def resnet8(classes: int) -> SplitNetwork:
    """The smallest CIFAR ResNet: a third of the work of ResNet-20."""
    return _cifar_resnet(1, classes)


def resnet20(classes: int) -> SplitNetwork:
    """The CIFAR ResNet with 20 layers."""
    return _cifar_resnet(3, classes)


def convsmall(classes: int) -> SplitNetwork:
    """Conv-Large of Miyato et al. (2018) made small: six 3x3 convolutions, dropout between."""
    layers: list[nn.Module] = []
    for before, after, last in (
        (3, 32, False), (32, 32, True), (32, 64, False), (64, 64, True), (64, 64, False), (64, 64, False),
    ):  # fmt: skip
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers.append(nn.LeakyReLU(0.1, inplace=True))
        if last:
            layers += [nn.MaxPool2d(2), nn.Dropout(0.5)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    return SplitNetwork(nn.Sequential(*layers), head)


def smallcnn(classes: int) -> SplitNetwork:
    """A plain VGG-like network of five convolutions for laptops: 64 maps at 1/4 of the resolution."""
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
