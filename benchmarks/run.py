"""`make bench`: measure on this machine and write RESULTS.md and scaling.png beside this file."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import cases
import cases_robustness
import matplotlib.pyplot as plt
import pandas as pd
import torch
from scaling import draw, gpu_hours, gpu_steps
from tqdm.auto import tqdm

from innt_lib.results import figures
from innt_lib.system import environment

HERE = Path(__file__).parent


def table(rows: list[cases.Row]) -> str:
    """The rows as Markdown."""
    lines = []
    for row in rows:
        floor, peer = row.floor, row.peer
        lines.append({
            "work": row.work,
            "ours (ms)": f"{1000 * row.ours:.4g}",
            "floor": f"{floor[0]}: {1000 * floor[1]:.4g} ms" if floor else "",
            "ours / floor": f"{row.ours / floor[1]:.3f}" if floor else "",
            "peer": f"{peer[0]}: {1000 * peer[1]:.4g} ms" if peer else "",
            "peer / ours": f"{peer[1] / row.ours:.2f}" if peer else "",
            "target": row.target + {True: ": met", False: ": **missed**", None: ""}[row.met],
            "checked": row.note,
        })  # fmt: skip
    return pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100, help="for the CAM rows")
    parser.add_argument("--score-images", type=int, default=2, help="for the Score-CAM row")
    options = parser.parse_args()
    figures.use_style()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured: Iterator[cases.Row] = chain(
            cases.training(folder), cases.attacks(), cases.weighing(), cases.virtual(),
            cases.noises(), cases.imports(),
            cases.evaluations(100, folder), cases.heat_maps(options.images),
            cases.score_cam(options.score_images),
            cases_robustness.six_cams(min(options.images, 100), options.score_images),
            cases_robustness.overlap(), cases_robustness.heat(), cases_robustness.corruptions(),
        )  # fmt: skip
        rows = []
        for row in tqdm(measured, desc="benchmarks", unit="row"):
            rows.append(row)
            tqdm.write(f"{row.work}: {1000 * row.ours:.4g} ms {row.floor} {row.peer}")
    growth = pd.DataFrame(
        cases.memory(), columns=["work", "from -> to", "MiB", "MiB, 4 x the images"]
    )
    figure, scaling = draw()
    figures.save(figure, str(HERE), "scaling", scaling)
    plt.close(figure)
    machine = pd.DataFrame(environment.machine().items(), columns=["item", "here"])
    gpu = "Not measured: no GPU was at hand."
    if torch.cuda.is_available():
        gpu = f"{gpu_steps('cuda')}\n\n{gpu_hours('cuda')}"
    (HERE / "RESULTS.md").write_text(f"""# Benchmarks

Written by `make bench` in one run. Seconds on a shared machine are noise; the ratios compare
alternatives that ran in turns (medians of 5 rounds unless said otherwise, one round to warm up,
{torch.get_num_threads()} threads, float32). Ours and floors use channels-last memory, which
`networks.build` chooses; peers run the same weights in PyTorch's default layout, as torchvision
builds its networks, and with their own defaults. *Target* is what this project set itself before it
measured.

{table(rows)}

The floor of a gradient CAM is the forward pass and the way back through the head, which for AlexNet reads its
three large matrices once more; that of exact Score-CAM is a bare forward pass for each channel that is alive,
in ours as in the peer's. A pretrained network takes as long as the random one of its name that is timed here.

## Memory

Peak memory above what was in use before the work, each in a process of its own.

{growth.round(1).to_markdown(index=False)}

## How cost grows

![time and memory against images, batch, size and network](scaling.png)

## The paper's settings on a GPU, by estimate

{gpu_hours("cpu")}

## GPU

{gpu}

## Machine

{machine.to_markdown(index=False)}
""")
    print(f"wrote {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
