"""`make prepare`: fetch what a profile needs and is not here, and say how long its trainings will take."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from innt_lib import data  # fmt: skip
from innt_lib.data import catalogue, download  # fmt: skip
from innt_lib.learn import networks, training  # fmt: skip
from innt_lib.learn.generation import build_generator
from innt_lib.learn.generators import freeze
from innt_lib.learn.methods import METHODS
from innt_lib.learn.settings import Settings
from innt_lib.results import paper, runs  # fmt: skip
from innt_lib.results.experiment import Experiment
from innt_lib.system import environment, paths  # fmt: skip

ROOT = Path(__file__).resolve().parents[1]
# A short and a longer training, of so many steps, are timed for each network: their difference does
# not hold what happens once, on a GPU recording the step.
STEPS = {"cpu": (1, 4), "cuda": (10, 60)}


def fetch(dataset: str) -> catalogue.Listing:
    """The list of a data set's images, downloaded first if it is not here."""
    try:
        return catalogue.find(dataset, None)[1]
    except FileNotFoundError:
        print(f"fetching {dataset} into {paths.data_dir()}")
        download.download(dataset)
        return catalogue.find(dataset, None)[1]


def whole(listing: catalogue.Listing, dataset: str) -> str:
    """A line that says what of the paper's data set is not here; empty if all is."""
    if dataset not in paper.CLASSES:
        return ""
    train = sum(record.train for record in listing.records)
    here = (len(listing.classes), f"{train} and {len(listing.records) - train}")
    if here == (paper.CLASSES[dataset], paper.IMAGES[dataset]):
        return ""
    return (
        f"{dataset}: not the whole data set is here: {here[0]} of {paper.CLASSES[dataset]} classes, "
        f"{here[1]} training and test images of {paper.IMAGES[dataset]}"
    )


def training_images(listing: catalogue.Listing, per_class: int) -> int:
    """How many images are trained on, of all those in the list."""
    counts = np.bincount([record.label for record in listing.records if record.train])
    return int(np.minimum(counts, per_class or counts.max()).sum())


def seconds_a_step(network: str, classes: int, size: int, settings: Settings, device: str) -> float:
    """One optimiser step on random pixels, mean of a few."""
    few, more = STEPS[environment.pick_device(device).type]
    generator, images = np.random.default_rng(0), more * settings.batch_size
    pixels = generator.integers(0, 255, (images, size, size, 3), dtype=np.uint8)
    labels, ids = np.arange(images) % classes, tuple(map(str, range(images)))
    names = tuple(map(str, range(classes)))
    random = data.ImageSet("random", pixels, labels, None, names, ids, "random")
    built = networks.build(network, classes)
    settings = replace(settings, labels=None)  # which changes no duration
    made = settings.vat.generator if settings.objective().smooth else None
    generator = freeze(build_generator(made, size)) if made else None

    def seconds(steps: int) -> float:
        chosen = random.select(range(steps * settings.batch_size))
        started = time.perf_counter()
        training.train(
            built, chosen, settings, generator=generator, device=device, label=f"timing {network}"
        )
        return time.perf_counter() - started

    seconds(few)  # to warm up
    short = seconds(few)
    long = seconds(more)
    return (long - short) / (more - few) if long > short else long / more  # a busy machine


def estimate(parameters: dict[str, Any], listing: catalogue.Listing, dataset: str) -> pd.DataFrame:
    """Hours of the trainings of a profile on a data set.

    Those of generators are not counted, nor the scoring of pictures that are weighed; those that are
    finished neither, unless tau is ``"auto"``, where their names are not known before the images are decoded.

    Returns:
        ``network, methods, images a step, trainings, seconds a step, hours``.
    """
    waiting = _waiting(parameters, dataset)
    classes = len(listing.classes)
    images = training_images(listing, parameters.get("train_per_class", 0))
    rows = []
    # Noise drawn once has a generator for every image, and takes longer.
    for kind in dict.fromkeys(map(_kind, waiting)):
        group = [run for run in waiting if _kind(run) == kind]
        run, (network, noisy, *_) = group[0], kind
        # A step of the later epochs, the longer ones; one that weighs its pictures takes as long as another.
        method = "baseline" if METHODS[run.method].weigh else run.method
        timed = replace(run, method=method, weighing=None, epochs=1, head_epochs=0, reg_warmup=0)
        seconds = seconds_a_step(
            network, classes, run.size, timed, parameters.get("device", "auto")
        )
        steps = sum(r.epochs * (images // r.batch_size) for r in group)
        methods = ", ".join(dict.fromkeys(r.label for r in group))
        trainings = (len(group), seconds, steps * seconds / 3600)
        twice = noisy or run.objective().smooth
        rows.append((network, methods, run.batch_size * (1 + twice), *trainings))
    columns = ["network", "methods", "images a step", "trainings", "seconds a step", "hours"]
    return pd.DataFrame(rows, columns=columns)


def _kind(run: runs.Run) -> tuple[Any, ...]:
    """What trainings that take equally long have in common."""
    held = run.label if run.objective().smooth else ""
    return run.network, run.objective().uses_noise, run.resample, held


def _waiting(parameters: dict[str, Any], dataset: str) -> list[runs.Run]:
    """The runs of a profile that are not finished."""
    known = {
        name: value for name, value in parameters.items() if name in Experiment.__dataclass_fields__
    }
    # tau changes no duration.
    tau = parameters["tau"] if parameters["tau"] != "auto" else 2e-3
    experiment = Experiment(**(known | {"dataset": dataset, "tau": tau}))
    counts = str(parameters.get("label_counts", experiment.labels)).split(",")
    grid = [run for count in counts for run in experiment.grid(labels=int(count))]
    return [run for run in grid if parameters["tau"] == "auto" or not run.finished]


def main() -> int:
    """Returns 0, or 1 with one line if something is missing and cannot be had."""
    profiles = sorted(path.stem for path in (ROOT / "workflow/config").glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", choices=profiles)
    config = yaml.safe_load(
        (ROOT / f"workflow/config/{parser.parse_args().profile}.yaml").read_text()
    )
    parameters = config["parameters"]
    device = environment.pick_device(parameters.get("device", "auto"))
    torch.set_num_threads(1)  # as in the workflow, where every core has a notebook of its own
    try:
        for network in parameters["networks"].split(","):
            networks.build(network, 2, parameters.get("weights", "none"))
        tables = []
        for folder, dataset in config["figures"].items():
            listing = fetch(dataset)
            if missing := whole(listing, dataset):
                print(missing)
            table = estimate(parameters, listing, dataset)
            tables.append(table.assign(figures=folder))
    except (OSError, ValueError, MemoryError) as error:
        print(error, file=sys.stderr)
        return 1
    table = pd.concat(tables)
    at_once = 1 if device.type == "cuda" else os.cpu_count() or 1
    print(f"On {environment.device_name(device)}:")
    print(table.round({"seconds a step": 4, "hours": 2}).to_markdown(index=False))
    hours = table["hours"].sum() / at_once
    print(f"All trainings: about {hours:.1f} hours, {at_once} at once (evaluation comes on top).")
    asked = config.get("notebooks", []) + (["07_ablations"] if config.get("ablations") else [])
    for name in ("07_ablations", "09_explanation_consistency"):
        if name in asked:
            print(f"Those that {name} makes of its own variants are not counted.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
