"""What people write or use today, to compare with."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from innt_lib.learn.split import SplitNetwork
from innt_lib.system.tensors import MEAN, STD


def as_usual(network: SplitNetwork) -> SplitNetwork:
    """A copy with the same weights in PyTorch's default memory layout, as torchvision builds it."""
    return copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


class Files(Dataset[tuple[Tensor, int]]):
    """Image files, opened and transformed by Pillow one by one, as in most training scripts."""

    def __init__(
        self, paths: Sequence[Path], labels: Sequence[int], size: int, augmented: bool = True
    ) -> None:
        self.paths, self.labels = paths, labels
        random = [transforms.RandomRotation(15), transforms.RandomHorizontalFlip()]
        self.transform = transforms.Compose([
            transforms.Resize((size, size)), *(random if augmented else []),
            transforms.ToTensor(), transforms.Normalize(MEAN, STD),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB")), self.labels[index]


class PlainLoop:
    """INNT as one would write it: a DataLoader, clean and noisy images one after the other."""

    def __init__(self, network: SplitNetwork, files: Files, batch_size: int, tau: float) -> None:
        self.network, self.tau = network, tau
        self.loader = DataLoader(files, batch_size, shuffle=True, drop_last=True)
        self.optimizer = torch.optim.Adam(network.parameters())
        self.maps: list[Tensor] = []
        network.features.register_forward_hook(lambda module, args, out: self.maps.append(out))

    def noisy(self, images: Tensor) -> Tensor:
        spread = images.amax((1, 2, 3), True) - images.amin((1, 2, 3), True)
        return images + 0.15 * spread * torch.randn_like(images)

    def loss(self, clean: Tensor, noisy: Tensor, labels: Tensor) -> Tensor:
        self.maps.clear()
        of_clean, of_noisy = self.network(clean), self.network(noisy)
        distance = torch.log(self.tau * torch.norm(self.maps[0] - self.maps[1]) + 1)
        clean_loss, noise_loss = (F.cross_entropy(x, labels) for x in (of_clean, of_noisy))
        return 0.7 * clean_loss + 0.3 * noise_loss + distance

    def epoch(self) -> None:
        self.network.train()
        for images, labels in self.loader:
            self.optimizer.zero_grad()
            self.loss(images, self.noisy(images), labels).backward()
            self.optimizer.step()

    def read(self) -> None:
        """The input alone: images and their noisy copies."""
        for images, _ in self.loader:
            self.noisy(images)


def evaluate(
    network: nn.Module,
    layer: nn.Module,
    clean: Tensor,
    noisy: Tensor,
    labels: Tensor,
    boxes: np.ndarray,
    batch_size: int,
) -> dict[str, float]:
    """Accuracy, Average Drop and Increase and AEPE by pytorch-grad-cam and a loop over images."""
    found: dict[str, list[float]] = {n: [] for n in ("clean", "noisy", "ad", "ai", "aepe")}
    with GradCAM(network, [layer]) as cam:
        for start in range(0, len(clean), batch_size):
            rows = slice(start, start + batch_size)
            targets = [ClassifierOutputTarget(int(label)) for label in labels[rows]]
            maps = {}
            for name, images in (("clean", clean[rows]), ("noisy", noisy[rows])):
                maps[name] = cam(images, targets)
                with torch.no_grad():
                    found[name] += (network(images).argmax(1) == labels[rows]).tolist()
            masked = noisy[rows] * torch.from_numpy(maps["noisy"])[:, None]
            with torch.no_grad():
                before, after = (network(x).softmax(1) for x in (clean[rows], masked))
            for i, label in enumerate(labels[rows]):
                y, z = float(before[i, label]), float(after[i, label])
                found["ad"].append(max(0.0, y - z) / y)
                found["ai"].append(float(z > y))
                x0, y0, x1, y1 = boxes[start + i].astype(int)
                if all(m[i].any() for m in maps.values()):
                    inside = [m[i, y0:y1, x0:x1].sum() / m[i].sum() for m in maps.values()]
                    found["aepe"].append(abs(inside[0] - inside[1]))
    return {name: float(np.mean(values)) for name, values in found.items()}
