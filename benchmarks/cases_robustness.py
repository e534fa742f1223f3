"""The measurements of notebook 8's parts: six CAMs at once, rank-biased overlap, corruptions, pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import peers
import torch
from cases import CLASSES, Row
from pytorch_grad_cam import AblationCAM, EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, XGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from timing import interleaved
from torch import Tensor

from innt_lib.explain.cam import explain_all
from innt_lib.explain.gradient_free_cams import copies_at_once
from innt_lib.explain.overlap import rank_biased_overlap
from innt_lib.explain.regions import grid, region_heat
from innt_lib.learn import networks
from innt_lib.neighbors import CORRUPTIONS, Corruption

# Ours by default, and the name under which ours is what the peer computes.
SIX = {
    "gradcam": ("gradcam", GradCAM), "gradcam++": ("gradcam++_as_in_library", GradCAMPlusPlus),
    "xgradcam": ("xgradcam", XGradCAM), "hirescam": ("hirescam", HiResCAM),
    "ablationcam": ("ablationcam", AblationCAM), "eigencam": ("eigencam_as_in_library", EigenCAM),
}  # fmt: skip
BATCH = 50
DEARER = ("zoom", "defocus")  # allowed to cost more than a forward pass


def six_cams(
    count: int, peer_count: int, names: Sequence[str] = ("resnet18", "squeezenet1_1")
) -> Iterator[Row]:
    """The six CAMs of Sarkar et al. in one call against the passes they need, and pytorch-grad-cam."""
    images = torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    for name in names:
        network = networks.build(name, CLASSES).eval()
        with torch.no_grad():
            # Of the predicted class: SqueezeNet's head ends in a ReLU, and others may be flat at 0.
            labels = torch.cat([network(part).argmax(1) for part in images.split(BATCH)])
            maps = torch.cat([network.features(part) for part in images.split(BATCH)])
        alive = int(maps.abs().amax((2, 3)).gt(0).sum())
        copies = maps[:1].repeat(copies_at_once(maps), 1, 1, 1)

        @torch.no_grad()
        def floor(network=network, copies=copies, alive=alive) -> None:  # type: ignore[no-untyped-def]
            for part in images.split(BATCH):
                network(part)
            for start in range(0, alive, len(copies)):
                network.head(copies[: alive - start])

        def ours(network=network, labels=labels) -> None:  # type: ignore[no-untyped-def]
            for part, targets in zip(images.split(BATCH), labels.split(BATCH), strict=True):
                explain_all(list(SIX), network, part, targets)

        seconds = interleaved({"ours": ours, "floor": floor})
        yield Row(
            f"six CAMs, {count} images, {name}, 224 px, batch {BATCH}", seconds["ours"],
            (f"forward, and {alive} passes of the head", seconds["floor"]), None, "floor + 15 %",
            "the maps of the next row", at_most=1.15,
        )  # fmt: skip
        yield _against_library(name, images[:peer_count], labels[:peer_count])


def _against_library(name: str, images: Tensor, labels: Tensor) -> Row:
    network = networks.build(name, CLASSES).eval()
    usual = peers.as_usual(network)
    for (
        module
    ) in usual.modules():  # on a CPU the peer's maps would share the memory of what is rectified
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    wanted = [ClassifierOutputTarget(int(label)) for label in labels]

    def theirs() -> dict[str, Tensor]:
        found = {}
        for own, (_, peer) in SIX.items():
            with peer(usual, [usual.features]) as method:
                found[own] = torch.from_numpy(method(images, wanted))
        return found

    reference = theirs()
    found, _ = explain_all([ours for ours, _ in SIX.values()], network, images, labels)
    difference = max(
        float((found[ours] - reference[own]).abs().max()) for own, (ours, _) in SIX.items()
    )
    assert difference < 2e-3, difference
    seconds = interleaved(
        {"ours": lambda: explain_all(list(SIX), network, images, labels), "peer": theirs},
        repetitions=3,
    )
    return Row(
        f"six CAMs, {len(images)} images, {name}, 224 px", seconds["ours"], None,
        ("pytorch-grad-cam's six", seconds["peer"]), "5 x the peer",
        f"maps equal to {difference:.0e} with the peer's definitions; 3 repetitions", at_least=5.0,
    )  # fmt: skip


def overlap(count: int = 10_000, regions: int = 25) -> Iterator[Row]:
    """Rank-biased overlap of many pairs of rankings against the equation in plain Python."""
    torch.manual_seed(0)
    a, b = torch.rand(2, count, regions)

    def naive() -> list[float]:
        found = []
        for first, second in zip(a.tolist(), b.tolist(), strict=True):
            one, other = (sorted(range(regions), key=lambda i, h=h: -h[i]) for h in (first, second))  # type: ignore[misc]
            total, seen, met, common = 0.0, set(), set(), 0
            for d, (i, j) in enumerate(zip(one, other, strict=True), 1):
                seen.add(i)
                met.add(j)
                common += (i in met) + (j in seen) - (i == j)
                total += 0.2 ** (d - 1) * common / d
            found.append(0.8 * total + 0.2**regions)
        return found

    difference = float((rank_biased_overlap(a, b, 0.2) - torch.tensor(naive())).abs().max())
    assert difference < 1e-6, difference
    seconds = interleaved({"ours": lambda: rank_biased_overlap(a, b, 0.2), "peer": naive})
    yield Row(
        f"rank-biased overlap of {count:,} pairs of rankings of {regions} regions", seconds["ours"],
        None, ("plain Python, incremental", seconds["peer"]), "under 1 s; 5 x the peer",
        f"equal to {difference:.0e}", at_least=5.0,
    )  # fmt: skip


def heat(count: int = 64) -> Iterator[Row]:
    """Mean heat of regions against a loop over pictures and regions in NumPy."""
    areas, maps = grid(count, 5), torch.rand(count, 224, 224)

    def naive() -> list[list[float]]:
        return [
            [float(one[area == region].mean()) for region in range(area.max() + 1)]
            for one, area in zip(maps.numpy(), areas, strict=True)
        ]

    difference = float((region_heat(maps, areas) - torch.tensor(naive())).abs().max())
    assert difference < 1e-5, difference
    seconds = interleaved({"ours": lambda: region_heat(maps, areas), "peer": naive})
    yield Row(
        f"heat of 25 regions of {count} maps at 224 px", seconds["ours"], None,
        ("NumPy, region by region", seconds["peer"]), "faster than the peer",
        f"equal to {difference:.0e}", at_least=1.0,
    )  # fmt: skip


def corruptions(count: int = 16) -> Iterator[Row]:
    """Each corruption of a batch, at strength 3, against a forward pass of a large and a small network."""
    images = torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    images = images.to(memory_format=torch.channels_last)
    passes: dict[str, Callable[[], object]] = {}
    for name in ("resnet18", "squeezenet1_1"):
        network = networks.build(name, CLASSES).eval()
        passes[name] = torch.no_grad()(lambda network=network: network(images))
    work = {name: partial(Corruption(name, 3), images) for name in CORRUPTIONS}
    seconds = interleaved(work | passes)
    for name in CORRUPTIONS:
        small = seconds[name] / seconds["squeezenet1_1"]
        yield Row(
            f"{name} of {count} images at 224 px", seconds[name],
            ("a forward pass of resnet18", seconds["resnet18"]), None,
            "none" if name in DEARER else "cheaper than the floor",
            f"{small:.2f} passes of squeezenet1_1", at_most=None if name in DEARER else 1.0,
        )  # fmt: skip
