"""The measurements: each first checks that both sides compute the same, then times them in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import peers
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from timing import in_new_process, interleaved, peak_memory
from torch import Tensor
from torchcam.methods import GradCAM as TorchcamGradCAM

from innt_lib import data, neighbors
from innt_lib.explain import cam
from innt_lib.explain.gradient_free_cams import CHUNK, CPU_PIXELS
from innt_lib.explain.gradient_free_cams import score_cam as score_cam_of
from innt_lib.explain.seam import to_image_size
from innt_lib.learn import networks
from innt_lib.learn.consistency import Scorer
from innt_lib.learn.generation import Generation, build_generator
from innt_lib.learn.generators import Generator, freeze
from innt_lib.learn.methods import Objective
from innt_lib.learn.settings import Settings
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.step import Step
from innt_lib.learn.training import _Loop
from innt_lib.learn.virtual import Virtual
from innt_lib.learn.weighing import Weighing
from innt_lib.results import evaluation
from innt_lib.system.environment import pick_device
from innt_lib.system.tensors import to_pixels

CLASSES = 10


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        work: what is done.
        ours: seconds.
        floor, peer: what it is compared with, and its seconds (None: not compared).
        target: what the project wants.
        note: what was checked, or what there is to know.
        at_most, at_least: the target in numbers: of ours / floor, and of peer / ours.
    """

    work: str
    ours: float
    floor: tuple[str, float] | None
    peer: tuple[str, float] | None
    target: str
    note: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if it has no number in this row."""
        found = []
        if self.floor and self.at_most is not None:
            found.append(self.ours <= self.at_most * self.floor[1])
        if self.peer and self.at_least is not None:
            found.append(self.peer[1] >= self.at_least * self.ours)
        return all(found) if found else None


def training(folder: Path) -> Iterator[Row]:
    """The INNT step and epoch against bare passes and against the plain loop."""
    for name, size, batch, steps in (
        ("resnet18", 224, 8, 2), ("squeezenet1_1", 224, 8, 4), ("timm/tf_efficientnet_lite0", 224, 8, 2),
        ("resnet20", 32, 16, 12), ("resnet20", 32, 128, 3),
    ):  # fmt: skip
        paths, labels = _files(folder / str(size), steps * batch, size)
        images = data.load(str(folder / str(size)), size).train
        settings = Settings(batch_size=batch)
        network = networks.build(name, CLASSES)
        plain = peers.as_usual(network)
        loop = _Loop(network, images, settings, pick_device("cpu"))
        two_passes = replace(settings, forward="separate")
        separate = _Loop(networks.build(name, CLASSES), images, two_passes, pick_device("cpu"))
        other = peers.PlainLoop(plain, peers.Files(paths, labels, size), batch, settings.tau)
        note = _same_loss(other, images, paths, labels, size, settings)
        floor_network = networks.build(name, CLASSES).train()
        pixels = torch.randn(2 * batch, 3, size, size).to(memory_format=torch.channels_last)
        targets = torch.arange(2 * batch) % CLASSES

        def bare(
            network: SplitNetwork = floor_network, x: Tensor = pixels, y: Tensor = targets,
            steps: int = steps,
        ) -> None:  # fmt: skip
            for _ in range(steps):
                network.zero_grad(set_to_none=True)
                torch.nn.functional.cross_entropy(network(x), y).backward()

        def read(loop: _Loop = loop, batch: int = batch, steps: int = steps) -> None:
            for step in range(steps):
                rows = torch.arange(step * batch, (step + 1) * batch)
                loop.step.views(
                    data.standardise(loop.step.pixels[rows]), loop.step.labels[rows], rows
                )

        loop.seed_global()
        seconds = interleaved({
            "ours": loop.run_epoch, "separate": separate.run_epoch, "floor": bare,
            "peer": other.epoch, "reading": read, "peer reading": other.read,
        })  # fmt: skip
        ours, apart, floor, peer, reading, others = (seconds[k] / steps for k in seconds)
        yield Row(
            f"INNT step, {name}, {size} px, batch {batch}", ours,
            (f"forward + backward of {2 * batch} images", floor), None,
            f"floor + {5 if size == 224 else 15} %", "one joint pass: batch norm sees both halves",
            at_most=1.05 if size == 224 else 1.15,
        )  # fmt: skip
        yield Row(
            "the same in two passes, as in the plain loop", apart, None, ("plain loop", peer),
            "faster than the peer", note, at_least=1.0,
        )  # fmt: skip
        yield Row(
            f"its input (second epoch on), {size} px, batch {batch}", reading,
            ("the whole step", ours), ("the plain loop's input", others),
            "under 3 % of the step", "augmentation and noise of both views included", at_most=0.03,
        )  # fmt: skip


def attacks() -> Iterator[Row]:
    """A step whose neighbours are attacks, against the passes that it cannot do without."""
    for name, size, batch in (("resnet20", 32, 16), ("squeezenet1_1", 224, 8)):
        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
        images = data.ImageSet.from_arrays(pixels, np.arange(batch) % CLASSES)
        for noise, steps in (("fgsm", 1), ("pgd", 5)):
            settings = Settings(noise=noise, strength=2.0, batch_size=batch)
            step = Step(networks.build(name, CLASSES), images, settings, pick_device("cpu"))
            network, rows = networks.build(name, CLASSES), torch.arange(batch)
            one = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
            both, labels = torch.cat([one, one]), torch.arange(batch) % CLASSES
            step.network.train()

            def bare(
                network: SplitNetwork = network, one: Tensor = one, both: Tensor = both,
                labels: Tensor = labels, steps: int = steps,
            ) -> None:  # fmt: skip
                for _ in range(steps):
                    leaf = one.clone().requires_grad_()
                    loss = torch.nn.functional.cross_entropy(network.eval()(leaf), labels)
                    torch.autograd.grad(loss, leaf)
                network.train().zero_grad(set_to_none=True)
                twice = torch.cat([labels, labels])
                torch.nn.functional.cross_entropy(network(both), twice).backward()

            seconds = interleaved({"ours": lambda step=step, rows=rows: step(rows), "floor": bare})
            passes = f"{steps} forward + backward to the pixels, one of {2 * batch} images"
            yield Row(
                f"INNT step with {noise} neighbours, {name}, {size} px, batch {batch}", seconds["ours"],
                (passes, seconds["floor"]), None, "floor + 10 %", "equal to captum's in the tests",
                at_most=1.1,
            )  # fmt: skip


def weighing() -> Iterator[Row]:
    """Scoring pictures by explanation consistency, and a training that does so before every epoch."""
    for name, size, batch, count in (("smallcnn", 32, 16, 256), ("resnet20", 32, 16, 128)):
        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        images = data.ImageSet.from_arrays(pixels, np.arange(count) % CLASSES)
        network = networks.build(name, CLASSES)
        scorer = Scorer(images, Weighing())
        network(
            data.standardise(images.tensor()[:64])
        )  # running averages of pictures, not of nothing

        def bare(network: SplitNetwork = network, images: data.ImageSet = images) -> None:
            network.eval()
            for part in images.tensor().split(64):
                leaf = data.standardise(part).requires_grad_()
                logits = network(leaf)
                labels = torch.zeros(len(part), dtype=torch.long)
                torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels), leaf)
                with torch.no_grad():
                    network(leaf)

        seconds = interleaved({"ours": lambda s=scorer, n=network: s(n), "floor": bare})
        yield Row(
            f"scoring {count} pictures, {name}, {size} px", seconds["ours"],
            ("forward, backward to the pixels, forward", seconds["floor"]), None, "floor + 15 %",
            "both maps, the attack and D included; equal to the six steps written out in the tests",
            at_most=1.15,
        )  # fmt: skip
        loops = {}
        for method in ("consistency", "baseline"):
            settings = Settings(method=method, batch_size=batch)
            loops[method] = _Loop(
                networks.build(name, CLASSES), images, settings, pick_device("cpu")
            )
            loops[method].epoch = Weighing().warm_up  # from here on every epoch is scored
        seconds = interleaved({m: loop.run_epoch for m, loop in loops.items()})
        yield Row(
            f"epoch by explanation consistency, {name}, {size} px, batch {batch}", seconds["consistency"],
            ("an epoch of the baseline", seconds["baseline"]), None, "2.1 x the baseline",
            "scored before every epoch", at_most=2.1,
        )  # fmt: skip


def virtual() -> Iterator[Row]:
    """A step of VAT and of LVAT against the passes of classifier and decoder that it cannot do without."""
    size, batch = 32, 32
    pixels = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    images = data.ImageSet.from_arrays(pixels, np.arange(batch) % CLASSES)
    one = data.standardise(images.tensor())
    plain = {"batch_size": batch, "rotation": 0.0, "flip": False}
    for name in ("resnet20", "convsmall"):
        for kind in ("vat", "vae", "glow"):
            settings, made = Settings(method="vat", **plain), None
            if kind != "vat":
                generation = Generation(kind=kind, width=32, blocks=4)
                made = build_generator(generation, size)
                made.loss(to_pixels(one), torch.Generator())  # a flow's first batch sets its scales
                freeze(made)
                lvat = Virtual(generator=generation)
                settings = Settings(method="lvat", vat=lvat, **plain)
            network, rows = networks.build(name, CLASSES).train(), torch.arange(batch)
            step = Step(
                networks.build(name, CLASSES).train(), images, settings, pick_device("cpu"), made
            )
            latents = [one] if made is None else made.encode(to_pixels(one))
            labels = torch.arange(batch) % CLASSES

            def bare(
                network: SplitNetwork = network, made: Generator | None = made,
                latents: list[Tensor] = latents, labels: Tensor = labels,
            ) -> None:  # fmt: skip
                network.zero_grad(set_to_none=True)
                loss = torch.nn.functional.cross_entropy(network(one), labels)
                leaves = [z.clone().requires_grad_() for z in latents]
                with torch.no_grad():
                    network(one)
                seen = leaves[0] if made is None else made.decode(leaves)
                torch.autograd.grad(network(seen).square().sum(), leaves)
                with torch.no_grad():
                    seen = one if made is None else made.decode(latents)
                (loss + network(seen).square().sum()).backward()

            def ours(step: Step = step, rows: Tensor = rows) -> Tensor:
                return step(rows, rows)

            seconds = interleaved({"ours": ours, "floor": bare}, 15)
            passes = "4 forward, 3 backward" + (
                "" if made is None else "; decoder: 2 forward, 1 backward"
            )
            yield Row(
                f"{'VAT' if made is None else f'LVAT-{type(made).__name__}'} step, {name}, {size} px, "
                f"batches of {batch}", seconds["ours"], (passes, seconds["floor"]), None, "floor + 10 %",
                "equal to the step written out in the tests", at_most=1.1,
            )  # fmt: skip


def noises() -> Iterator[Row]:
    """Drawing noise against one pass over memory and NumPy's formula."""
    images = torch.randn(16, 3, 224, 224)
    array = images.numpy()
    for name, made in (
        ("gaussian", neighbors.GaussianNoise(0.15)), ("neighborhood", neighbors.NeighborhoodNoise(1.0)),
    ):  # fmt: skip
        generator, numpy = torch.Generator(), np.random.default_rng(0)

        def naive(
            gaussian: bool = name == "gaussian", numpy: np.random.Generator = numpy
        ) -> object:
            if gaussian:
                return np.stack([x + 0.15 * np.ptp(x) * numpy.normal(size=x.shape) for x in array])
            return np.stack([x * (1 + numpy.uniform(-1, 1, x.shape)) for x in array])

        difference = abs(
            float((made(images, generator) - images).std()) - float((naive() - array).std())
        )
        assert difference < 0.01, difference
        seconds = interleaved({
            "ours": lambda made=made, generator=generator: made(images, generator),
            "floor": lambda: images.clone(), "peer": naive,
        })  # fmt: skip
        yield Row(
            f"{name} noise of 16 images at 224 px", seconds["ours"], ("a copy", seconds["floor"]),
            ("NumPy, image by image", seconds["peer"]),
            "under 2 % of the step, which its input row includes", "same spread",
        )  # fmt: skip


def heat_maps(count: int) -> Iterator[Row]:
    """Grad-CAM and Grad-CAM++ against a bare forward pass, pytorch-grad-cam and torch-cam."""
    images = torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % CLASSES
    wanted = [ClassifierOutputTarget(int(label)) for label in labels]
    # AlexNet's head is large matrices, read once a batch in each direction: larger batches for it.
    for name, batch in (("resnet18", 50), ("alexnet", min(count, 250))):
        network = networks.build(name, CLASSES).eval()
        for kind, theirs in (("gradcam", GradCAM), ("gradcam++", GradCAMPlusPlus)):

            def batches(work: Callable[[slice], object], batch: int = batch) -> Callable[[], None]:
                def all_of_them() -> None:
                    for start in range(0, count, batch):
                        work(slice(start, start + batch))

                return all_of_them

            def ours(rows: slice, network: SplitNetwork = network, kind: str = kind) -> Tensor:
                return cam.cam(kind, network, images[rows], labels[rows])

            def floor(rows: slice, network: SplitNetwork = network) -> Tensor:
                with torch.no_grad():
                    maps = network.features(images[rows])
                logits = network.head(maps.requires_grad_())
                return torch.autograd.grad(logits.sum(), maps)[0]

            usual = peers.as_usual(network)
            with theirs(usual, [usual.features]) as peer:
                first = slice(0, batch)
                reference = torch.from_numpy(peer(images[first], wanted[first]))
                seconds = interleaved({
                    "ours": batches(ours), "floor": batches(floor),
                    "peer": batches(lambda rows, peer=peer: peer(images[rows], wanted[rows])),
                })  # fmt: skip
            eps = 1e-6 if kind == "gradcam++" else None
            note = _same_maps(network, kind, images[first], labels[first], reference, eps)
            yield Row(
                f"{kind}, {count} images, {name}, 224 px, batch {batch}", seconds["ours"],
                ("forward, back through the head", seconds["floor"]),
                ("pytorch-grad-cam", seconds["peer"]),
                f"floor + 10 %, {'2.5' if name == 'resnet18' else '2'} x the peer", note,
                at_most=1.1, at_least=2.5 if name == "resnet18" else 2.0,
            )  # fmt: skip
        yield _against_torchcam(name, images, labels, batch)


def _against_torchcam(name: str, images: Tensor, labels: Tensor, batch: int) -> Row:
    network = networks.build(name, CLASSES).eval()
    usual = peers.as_usual(network)
    for module in usual.modules():  # torch-cam's hooks do not survive these
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    with TorchcamGradCAM(usual, target_layer="features") as peer:

        def theirs(rows: slice) -> Tensor:
            return peer(labels[rows].tolist(), usual(images[rows].requires_grad_()))[0]

        def all_ours() -> None:
            for start in range(0, len(images), batch):
                rows = slice(start, start + batch)
                cam.cam("gradcam", network, images[rows], labels[rows])

        def all_theirs() -> None:
            for start in range(0, len(images), batch):
                theirs(slice(start, start + batch))

        low = theirs(slice(0, batch)).detach()
        mine = to_image_size(low, images.shape[-2:])
        note = _same_maps(network, "gradcam", images[:batch], labels[:batch], mine, None)
        seconds = interleaved({"ours": all_ours, "peer": all_theirs})
    return Row(
        f"gradcam, {len(images)} images, {name}, 224 px, batch {batch}", seconds["ours"], None,
        ("torch-cam (maps left small)", seconds["peer"]), "not slower than the peer", note, at_least=1.0,
    )  # fmt: skip


def score_cam(count: int) -> Iterator[Row]:
    """Score-CAM against as many forward passes as channels are alive, and pytorch-grad-cam."""
    network = networks.build("resnet18", CLASSES).eval()
    images = torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % CLASSES
    wanted = [ClassifierOutputTarget(int(label)) for label in labels]
    with torch.no_grad():
        maps = network.features(images)
    alive = int((maps.amax((2, 3)) > maps.amin((2, 3))).sum())
    chunk = min(CHUNK, CPU_PIXELS // 224**2)  # ours

    @torch.no_grad()
    def floor() -> None:
        for start in range(0, alive, chunk):
            network(images[:1].expand(min(chunk, alive - start), -1, -1, -1))

    def ours() -> Tensor:
        found = score_cam_of(maps, network, labels, images, weighting="channel_softmax")
        return to_image_size(found.maps, images.shape[-2:])

    usual = peers.as_usual(network)
    with ScoreCAM(usual, [usual.features]) as peer:
        difference = float((ours() - torch.from_numpy(peer(images, wanted))).abs().max())
        assert difference < 1e-3, difference
        seconds = interleaved(
            {"ours": ours, "floor": floor, "peer": lambda: peer(images, wanted)}, repetitions=3
        )
    yield Row(
        f"Score-CAM, {count} images, resnet18, 224 px", seconds["ours"],
        (f"{alive} forward passes", seconds["floor"]), ("pytorch-grad-cam", seconds["peer"]),
        "floor + 10 %", f"maps equal to {difference:.0e}; {alive} of {maps[:, :, 0, 0].numel()} "
        "channels alive; 3 repetitions", at_most=1.1,
    )  # fmt: skip


def evaluations(count: int, folder: Path) -> Iterator[Row]:
    """Everything that is measured on a model against three forward passes an image."""
    _files(folder / "evaluation", count, 224)
    images = data.load(str(folder / "evaluation"), 224).train
    boxes = np.tile(np.float32([56, 56, 168, 168]), (count, 1))
    images = data.ImageSet(
        images.name, images.images, images.labels, boxes, images.classes, images.ids, "boxed"
    )
    network = networks.build("resnet18", CLASSES).eval()
    made, batch = neighbors.GaussianNoise(0.15), 50
    clean, labels = data.standardise(images.tensor()), torch.from_numpy(images.labels)
    noisy = neighbors.near_fixed(made, clean, torch.arange(count), 0)

    @torch.no_grad()
    def floor() -> None:
        for start in range(0, count, batch):
            for x in (clean, noisy, noisy):
                network(x[start : start + batch])

    def ours() -> dict[str, float]:
        table = evaluation.evaluate(network, images, made, batch_size=batch)
        names = {"clean": "clean_top1", "noisy": "noisy_top1", "ad": "drop", "ai": "increase"}
        return {k: float(table[v].mean()) for k, v in (names | {"aepe": "pointing_error"}).items()}

    usual = peers.as_usual(network)

    def theirs() -> dict[str, float]:
        return peers.evaluate(usual, usual.features, clean, noisy, labels, boxes, batch)

    a, b = ours(), theirs()
    difference = max(abs(a[k] - b[k]) for k in a)
    assert difference < 1e-3, (a, b)
    seconds = interleaved({"ours": ours, "floor": floor, "peer": theirs})
    yield Row(
        f"whole evaluation, {count} images, resnet18, 224 px", seconds["ours"],
        ("3 forward passes an image", seconds["floor"]),
        ("pytorch-grad-cam and a loop", seconds["peer"]), "floor + 15 %",
        f"accuracies, AD, AI, AEPE equal to {difference:.0e}", at_most=1.15,
    )  # fmt: skip


def imports() -> Iterator[Row]:
    """Importing the library against importing torch, in new processes."""
    clock = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    seconds: dict[str, list[float]] = {"innt_lib": [], "torch": []}
    for repetition in range(6):
        for name, values in seconds.items():
            spent = float(in_new_process(clock.format(name)))
            if repetition:
                values.append(spent)
    ours, floor = (float(np.median(values)) for values in seconds.values())
    yield Row(
        "import innt_lib", ours, ("import torch", floor), None, "at most 0.3 s more",
        f"{ours - floor:+.2f} s", at_most=1 + 0.3 / floor,
    )  # fmt: skip


def memory() -> list[tuple[str, str, float, float]]:
    """What grows and what does not: work, size, MiB at first, MiB at four times the images."""
    setup = (
        "import numpy as np, torch; torch.set_num_threads(1)\n"
        "from innt_lib import data, neighbors\n"
        "from innt_lib.explain import cam\n"
        "from innt_lib.learn import networks\n"
        "from innt_lib.results import evaluation\n"
        "network = networks.build('smallcnn', 10).eval()\n"
        "def images(n):\n"
        "    pixels = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None, None], (n, 64, 64, 3))\n"
        "    ids = tuple(map(str, range(n)))\n"
        "    return data.ImageSet('x', pixels, np.arange(n) % 10, None, ids[:10], ids, 'x')\n"
    )
    work = {
        "evaluation, smallcnn, 64 px": (
            "evaluation.evaluate(network, images({}), neighbors.GaussianNoise(0.15))", 256,
        ),
        "Score-CAM, smallcnn, 64 px": (
            "cam.cam('scorecam', network, torch.randn({}, 3, 64, 64), None)", 16,
        ),
    }  # fmt: skip
    return [
        (name, f"{count} -> {4 * count} images",
         *(peak_memory(setup, code.format(n)) for n in (count, 4 * count)))
        for name, (code, count) in work.items()
    ]  # fmt: skip


def _files(folder: Path, count: int, size: int) -> tuple[list[Path], list[int]]:
    """JPEG files of random pixels in an image folder of ten classes."""
    generator, paths, labels = np.random.default_rng(0), [], []
    for i in range(count):
        label = i % CLASSES
        for part in ("train", "test"):
            path = folder / part / f"class{label}" / f"{i:04d}.jpg"
            if part == "train":
                paths.append(path)
                labels.append(label)
            elif i >= CLASSES:  # a test image a class is enough
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((size, size), Image.Resampling.BILINEAR).save(path)
    return paths, labels


def _same_loss(
    other: peers.PlainLoop,
    images: data.ImageSet,
    paths: list[Path],
    labels: list[int],
    size: int,
    settings: Settings,
) -> str:
    """The plain loop's pixels and loss are ours, for the same images and noise."""
    chosen = list(range(4))
    read = peers.Files(paths, labels, size, augmented=False)
    theirs = torch.stack([read[i][0] for i in chosen])
    where = [images.ids.index(str(paths[i].relative_to(paths[i].parents[2]))) for i in chosen]
    clean = data.standardise(images.select(where).tensor())
    pixels = float((clean - theirs).abs().max())
    noisy, targets = clean + 0.1 * torch.randn_like(clean), torch.tensor(labels[:4])
    network = other.network
    pairs = [network.features(x) for x in (clean, noisy)]
    objective = Objective("innt", settings.lambda_, settings.tau)
    torch.manual_seed(0)  # the same units dropped on both sides
    ours = objective(targets, network.head(pairs[0]), pairs[0], network.head(pairs[1]), pairs[1])
    torch.manual_seed(0)
    loss = abs(ours.total.item() - other.loss(clean, noisy, targets).item())
    assert pixels < 1e-5 and loss < 1e-5, (pixels, loss)
    return f"pixels equal to {pixels:.0e}, loss to {loss:.0e}"


def _same_maps(
    network: SplitNetwork, kind: str, images: Tensor, labels: Tensor, reference: Tensor,
    eps: float | None,
) -> str:  # fmt: skip
    # With an eps, the peer's definition, for the comparison only.
    found = cam.cam(kind if eps is None else f"{kind}_as_in_library", network, images, labels)
    difference = float((found - reference).abs().max())
    assert difference < 1e-3, difference
    return f"maps equal to {difference:.0e}" + (f" with the peer's eps {eps:g}" if eps else "")
