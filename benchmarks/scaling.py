"""How cost grows, and what the paper's grid would cost on a GPU."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from timing import interleaved, peak_memory
from torch.utils.flop_counter import FlopCounterMode

from innt_lib.data import ImageSet
from innt_lib.learn import capture, networks
from innt_lib.learn.settings import Settings
from innt_lib.learn.step import Step
from innt_lib.neighbors import noise
from innt_lib.results import evaluation, paper
from innt_lib.system.environment import Precision, pick_device

# Dense bfloat16 peak of an H200 (NVIDIA's data sheet), and shares of it that training reaches.
PEAK, SHARES = 989e12, (0.1, 0.4)


def random_images(count: int, size: int) -> ImageSet:
    """Noise in ten classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return ImageSet.from_arrays(pixels, np.arange(count) % 10)


def step(
    name: str, size: int, batch: int, device: str = "cpu", precision: Precision = "float32"
) -> Callable[[], object]:
    """One INNT step."""
    settings = Settings(batch_size=batch, precision=precision)
    images = random_images(max(batch, 10), size)
    update = Step(networks.build(name, 10), images, settings, pick_device(device))
    update.network.train()
    chosen = torch.arange(batch).to(update.pixels.device)
    return lambda: update(chosen)


def evaluate(count: int) -> Callable[[], object]:
    """Everything measured on a small network."""
    network, images = networks.build("smallcnn", 10), random_images(count, 32)
    return lambda: evaluation.evaluate(network, images, noise.GaussianNoise(0.15))


def draw() -> tuple[Figure, pd.DataFrame]:
    """Time against images, batch and size, and memory against batch; the numbers beside it."""
    sizes = {"smallcnn": (32, 64, 128), "resnet20": (32, 64, 128), "resnet18": (64, 128, 224)}
    panels: list[tuple[str, str, dict[str, dict[int, Callable[[], object]]]]] = [
        ("evaluation", "images", {"smallcnn": {n: evaluate(n) for n in (128, 256, 512, 1024)}}),
        ("INNT step, 32 px", "batch", {
            name: {b: step(name, 32, b) for b in (8, 16, 32, 64)} for name in ("smallcnn", "resnet20")
        }),
        ("INNT step, batch 8", "image size (px)", {
            name: {side: step(name, side, 8) for side in sides} for name, sides in sizes.items()
        }),
    ]  # fmt: skip
    rows = []
    for title, axis, curves in panels:
        work = {f"{name} {x}": f for name, points in curves.items() for x, f in points.items()}
        for key, seconds in interleaved(work, repetitions=3).items():
            name, x = key.split()
            rows.append((title, axis, name, int(x), "ms", 1000 * seconds))
    setup = "import sys; sys.path.insert(0, 'benchmarks'); import torch; from scaling import step"
    for name in ("smallcnn", "resnet20"):
        for batch in (16, 32, 64, 128):
            made = f"{setup}; torch.set_num_threads(1); f = step('{name}', 32, {batch})"
            title = "memory of a step, 32 px"
            rows.append((title, "batch", name, batch, "MiB", peak_memory(made, "f(); f()")))
    table = pd.DataFrame(rows, columns=["panel", "axis", "network", "x", "unit", "value"])
    figure, axes = plt.subplots(1, 4, figsize=(12.5, 3))
    colours = {"smallcnn": "#1f5fa8", "resnet20": "#d1701f", "resnet18": "#6a3d9a"}
    for ax, (title, part) in zip(axes, table.groupby("panel", sort=False), strict=True):
        for name, line in part.groupby("network", sort=False):
            ax.plot(line["x"], line["value"], "o-", ms=4, color=colours[name], label=name)
        exponent = 2 if "size" in part["axis"].iloc[0] else 1
        x = np.array(sorted(set(part["x"])), dtype=float)
        slope = part["value"].min() * (x / x[0]) ** exponent
        ax.plot(x, slope, "--", color="#8c8c8c", lw=1, label="in proportion to images or pixels")
        ax.set(title=title, xscale="log", yscale="log", xlabel=part["axis"].iloc[0])
        ax.set(
            ylabel=f"{'time' if part['unit'].iloc[0] == 'ms' else 'memory'} ({part['unit'].iloc[0]})"
        )
        ax.set_xticks(x, [f"{v:g}" for v in x], minor=False)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
    most = max(axes, key=lambda ax: len(ax.lines))
    figure.legend(*most.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure, table


def gpu_hours(device: str) -> str:
    """Hours of the paper's grid per network: by FLOP count, and by the step timed on a GPU."""
    settings = paper.HYPERPARAMETERS
    batch, size = int(settings["batch_size"]), int(settings["size"])
    images = sum(int(text.split()[0]) for text in paper.IMAGES.values())
    steps = int(settings["epochs"]) * images // batch * 3  # three trainings of every cell
    rows = []
    for name in ("alexnet", "vgg16", "resnet18"):
        network = networks.build(name, 200).train()
        with FlopCounterMode(display=False) as counter:
            network(torch.randn(2, 3, size, size)).sum().backward()
        a_step = counter.get_total_flops() / 2 * batch
        passes = a_step * (1 + 2 * 4)  # the baseline, and NT and INNT under both noises
        row = {"network": name, "TFLOP a clean batch of 8": round(a_step / 1e12, 3)}
        row |= {
            f"hours at {share:.0%} of an H200": round(passes * steps / (PEAK * share) / 3600, 2)
            for share in SHARES
        }
        if device == "cuda":
            seconds = _timed(step(name, size, batch, device, "bfloat16"), device)
            row["hours, from the INNT step timed here"] = round(seconds * steps * 4.5 / 3600, 1)
        rows.append(row)
    table = pd.DataFrame(rows)
    return (
        f"Trainings only: {steps:,} steps a cell and network, 5 cells, 3 seeds, both data sets, "
        f"complete. FLOPs are counted by PyTorch; the peak taken is {PEAK / 1e12:.0f} TFLOP/s "
        "(bfloat16, dense, from the data sheet). At batch 8 the shares reached are small: "
        "`make prepare PROFILE=paper` times the real step on the machine it runs on.\n\n"
        + table.to_markdown(index=False)
    )


def gpu_steps(device: str, batches: Iterable[int] = (8, 16, 64, 256), size: int = 224) -> str:
    """The INNT step under bfloat16 beside bare forward and backward passes of as many images."""
    rows = []
    for name in ("resnet18", "vgg16", "alexnet"):
        for batch in batches:
            gc.collect()  # the loops of the row before
            work = {
                "ours": step(name, size, batch, device, "bfloat16"),
                "floor": _bare(name, size, 2 * batch, device),
            }
            rounds = [{key: _timed(f, device) for key, f in work.items()} for _ in range(5)]
            ours, floor = (statistics.median(r[key] for r in rounds) for key in work)
            rows.append((name, batch, 1000 * ours, 2 * batch / ours, ours / floor))
    names = ["network", "batch", "INNT step (ms)", "images/s (clean and noisy)", "ours / floor"]
    return pd.DataFrame(rows, columns=names).round(3).to_markdown(index=False)


def _bare(name: str, size: int, images: int, device: str) -> Callable[[], object]:
    network = networks.build(name, 10).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    pixels = torch.randn(images, 3, size, size, device=device)
    pixels = pixels.to(memory_format=torch.channels_last)
    labels = torch.arange(images, device=device) % 10

    def work(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        network.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(network(pixels), labels)
        loss.backward()
        return loss.detach()

    call = capture.Recorded(work, torch.device(device)) if device == "cuda" else work
    return lambda: call(pixels, labels)


def _timed(
    work: Callable[[], object], device: str, warm_up: int = 5, repetitions: int = 20
) -> float:
    """Seconds of one call, mean over some; the GPU is waited for before and after."""
    for _ in range(warm_up):
        work()
    _wait(device)
    started = time.perf_counter()
    for _ in range(repetitions):
        work()
    _wait(device)
    return (time.perf_counter() - started) / repetitions


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
