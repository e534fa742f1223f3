"""Does v find the pictures that it should? Measured on plainly trained networks, before any reweighting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from innt_lib.data.biased import conflicting, read_backgrounds
from innt_lib.learn.consistency import Scorer
from innt_lib.learn.weighing import Weighing, effective
from innt_lib.results import runs
from innt_lib.results.experiment import Experiment
from innt_lib.results.probing import auroc
from innt_lib.results.run import Run

# What is asked whether it finds them: a change of the weighing each.
KINDS: dict[str, dict[str, Any]] = {
    "v": {}, "v, oracle mask": {"mask": "segmentation"}, "v, no mask": {"mask": "none"},
    "D alone": {"by": "maps"}, "flips alone": {"by": "flips"}, "loss": {"by": "loss"},
    "v shuffled": {"shuffled": True},
}  # fmt: skip


def warmed_up(experiment: Experiment, dataset: str, weighing: Weighing) -> list[Run]:
    """The trainings, seed by seed, as they are when weights are made for the first time."""
    network = experiment.architectures[0]
    run = experiment.run(network, dataset=dataset, method="baseline", epochs=weighing.warm_up)
    return [replace(run, seed=seed) for seed in range(experiment.seeds)]


def finds_conflicts(
    experiment: Experiment, sets: Mapping[str, str], weighing: Weighing
) -> pd.DataFrame:
    """Among training pictures: is v larger where the background is not that of the species?

    Args:
        experiment: network, seeds and device.
        sets: of :func:`innt_lib.data.biased.biased_birds`, by name; those without a conflicting
            picture, or without another, are left out.
        weighing: of the method.

    Returns:
        A row a set, seed and kind (of ``KINDS``): ``auroc`` (0.5 is chance), ``conflicting`` (share of
        the pictures), ``weight`` (their share of the weight), ``flip_rate``, ``effective``.
    """
    rows = []
    for name, dataset in sets.items():
        trainings = warmed_up(experiment, dataset, weighing)
        runs.ensure(trainings, experiment.device)
        train = trainings[0].load_data().train
        odd = conflicting(train.labels, read_backgrounds(train))
        if odd.all() or not odd.any():
            continue
        for run in trainings:
            network, scored = runs.load(run, experiment.device), {}
            for kind, change in KINDS.items():
                changed = replace(weighing, **change)
                # One probe says v, D and flips.
                by = "consistency" if changed.attacks else changed.by
                probed = replace(changed, by=by, shuffled=False)
                if probed not in scored:
                    scored[probed] = Scorer(train, probed)(network)
                scores = scored[probed]
                v = {"maps": scores.distance, "flips": scores.flipped}.get(changed.by, scores.v)
                weights = changed.weights(v, run.seed).cpu()
                rows.append({
                    "set": name, "seed": run.seed, "kind": kind, "auroc": auroc(weights.numpy(), odd),
                    "conflicting": odd.mean(), "weight": float(weights[odd].sum() / weights.sum()),
                    "flip_rate": scores.log()["flip_rate"], "effective": effective(weights),
                })  # fmt: skip
    return pd.DataFrame(rows)


def calibration(run: Run, weighing: Weighing, radii: Sequence[float], device: str) -> pd.DataFrame:
    """What the training pictures of a run do under attacks of several radii: a row a radius.

    Args:
        run: trained now if need be.
        weighing: of which only the radius changes.
        radii: in 1/255.
        device: where it runs.

    Returns:
        ``radius`` and the means of :meth:`innt_lib.learn.consistency.Scores.log`, and ``effective``.
    """
    network, train = runs.load(run, device), run.load_data().train
    rows = []
    for radius in radii:
        changed = replace(weighing, radius=float(radius))
        scores = Scorer(train, changed)(network)
        share = effective(changed.weights(scores.v, 0))
        rows.append({"radius": radius} | scores.log() | {"effective": share})
    return pd.DataFrame(rows)


def said(found: pd.DataFrame) -> list[str]:
    """A sentence a set: which scores find the conflicting pictures, by their mean over trainings."""
    lines = []
    for name, group in found.groupby("set", sort=False):
        means = group.groupby("kind", sort=False)["auroc"].agg(["mean", "min", "max"])
        listed = ", ".join(f"{k} {r['mean']:.2f}" for k, r in means.iterrows())
        v = means.loc["v"]
        verdict = (
            "v finds them in every training" if v["min"] > 0.5
            else "v avoids them in every training" if v["max"] < 0.5
            else "v finds them in some trainings and not in others, as chance does"
        )  # fmt: skip
        share = 100 * np.mean(group["conflicting"])
        lines.append(
            f"{name}: {share:.0f} % of the pictures conflict; {verdict} (AUROC: {listed})."
        )
    return lines
