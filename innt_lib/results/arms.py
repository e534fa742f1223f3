"""The arms of an experiment on explanation consistency: the method, its controls, its rivals.

A gain over the baseline says little: any weights could bring it, or the extra passes. Each arm takes one
thing away, so that what is left of a gain can be attributed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from innt_lib.learn.weighing import Weighing
from innt_lib.results import runs
from innt_lib.results.experiment import Experiment
from innt_lib.results.run import Run

# Name -> what tables and figures call it, its colour, what it shows.
ARMS: dict[str, tuple[str, str, str]] = {
    "baseline": ("baseline", "#8c8c8c", "all pictures weigh alike"),
    "longer": ("baseline, same compute", "#bdbdbd", "is it the passes that scoring costs?"),
    "consistency": ("consistency", "#1f5fa8", "the method"),
    "shuffled": (
        "shuffled",
        "#d1701f",
        "the same weights, dealt out at random: is it what they say?",
    ),
    "loss": ("loss", "#c9a227", "1 - p_y: is it more than hard examples?"),
    "oracle": ("oracle mask", "#2e8b57", "the true foreground is spared: is it the mask?"),
    "jtt": ("JTT", "#a8452f", "mistakes weigh more, once, and training begins anew"),
    "flips": ("flips only", "#5aa0c8", "no maps, floor 0.5"),
    "maps": ("maps only", "#6a3d9a", "a flip counts no more than its map"),
    "no_mask": ("no mask", "#7f5539", "the whole picture is attacked"),
    "foreground": ("foreground", "#b3261e", "what is spared and what is attacked change places"),
    "cosine": ("cosine", "#3d85c6", "another distance of maps"),
    "iou": ("IoU", "#76a5af", "another distance of maps"),
    "floor": ("floor 0.5", "#45818e", "half of every weight is kept"),
    "pgd": ("PGD", "#351c75", "five steps of attack"),
    "nt": ("NT", "#e69138", "noise training"),
    "nt+consistency": ("NT + consistency", "#b45f06", "noise training with the weights"),
    "innt": ("INNT", "#6fa8dc", "INNT"),
    "innt+consistency": ("INNT + consistency", "#0b5394", "INNT with the weights"),
}
ARM_LABELS = {name: label for name, (label, _, _) in ARMS.items()}
ARM_COLOURS = {name: colour for name, (_, colour, _) in ARMS.items()}


@dataclass(frozen=True)
class Cell:
    """One training: of which arm, on which set (as tables call them)."""

    arm: str
    set: str
    run: Run


def check_arms(names: Sequence[str]) -> None:
    """Raise ValueError, naming those there are, unless all names are of ``ARMS``."""
    for name in names:
        if name not in ARMS:
            raise ValueError(f"arm (={name!r}) must be one of {', '.join(ARMS)}")


def settings(name: str, weighing: Weighing, epochs: int, oracle: str) -> dict[str, Any]:
    """What tells an arm's training apart: fields of :class:`innt_lib.results.run.Run`.

    Args:
        name: one of ``ARMS``.
        weighing: of the method; controls change one thing of it.
        epochs: of all trainings; JTT's, which begins anew, has its warm-up besides, and ``"longer"``
            one more for every scoring, each about as dear as an epoch.
        oracle: the mask of the oracle, ``"segmentation"`` or ``"box"``.
    """
    check_arms([name])
    changes: dict[str, dict[str, Any]] = {
        "consistency": {}, "shuffled": {"shuffled": True}, "loss": {"by": "loss"},
        "oracle": {"mask": oracle}, "jtt": {"by": "mistakes"}, "flips": {"by": "flips", "floor": 0.5},
        "maps": {"by": "maps"}, "no_mask": {"mask": "none"}, "foreground": {"mask": "foreground"},
        "cosine": {"distance": "cosine"}, "iou": {"distance": "iou"}, "floor": {"floor": 0.5},
        "pgd": {"steps": 5},
    }  # fmt: skip
    if name in changes:
        more = {"epochs": epochs + weighing.warm_up} if name == "jtt" else {}
        return {"method": "consistency", "weighing": replace(weighing, **changes[name])} | more
    if name == "longer":
        scorings = sum(weighing.due(epoch) for epoch in range(epochs))
        return {"method": "baseline", "epochs": epochs + scorings}
    method, _, weighed = name.partition("+")
    return {"method": method} | ({"weighing": weighing} if weighed else {})


def plan(
    experiment: Experiment,
    sets: Mapping[str, str],
    names: Sequence[str],
    weighing: Weighing,
    *,
    oracle: str = "segmentation",
) -> list[Cell]:
    """Every arm on every set, seed by seed, with the experiment's first network and first noise.

    Args:
        experiment: the settings that all share.
        sets: data set by the name that tables give it.
        names: of ``ARMS``.
        weighing, oracle: see :func:`settings`.
    """
    noise, strength = next(iter(experiment.strengths.items()))
    network, found = experiment.architectures[0], []
    for set_name, dataset in sets.items():
        for name in names:
            own = settings(name, weighing, experiment.epochs, oracle)
            run = experiment.run(network, dataset=dataset, noise=noise, strength=strength, **own)
            found += [
                Cell(name, set_name, replace(run, seed=seed)) for seed in range(experiment.seeds)
            ]
    return found


def histories(cells: Sequence[Cell]) -> pd.DataFrame:
    """What was weighed in every epoch: the histories of the weighed arms, with arm, set and seed."""
    tables = [
        runs.history(cell.run).assign(arm=cell.arm, set=cell.set, seed=cell.run.seed)
        for cell in cells
        if cell.run.weighs
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def explained(names: Sequence[str]) -> str:
    """A line an arm: what it is called and what it shows."""
    return "\n".join(f"{ARMS[name][0]}: {ARMS[name][2]}" for name in names)
