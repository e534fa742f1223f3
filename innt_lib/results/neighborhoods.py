"""Every training in every neighbourhood: what networks trained in one way say of the other neighbours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from innt_lib.explain.cam import cam
from innt_lib.learn.consistency import attackable
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.weighing import Weighing
from innt_lib.neighbors import Attack, Neighbor
from innt_lib.results import runs
from innt_lib.results.claims import compare
from innt_lib.results.experiment import Experiment
from innt_lib.results.pairs import kept_regions, pairs
from innt_lib.results.robustness import robustness
from innt_lib.results.run import Run, kept
from innt_lib.results.stats import mean_interval
from innt_lib.results.style import METHOD_LABELS, NOISE_LABELS
from innt_lib.system.progress import progress

VERSION = 1  # part of every kept table's name: raise it when the same input gives other numbers
MEASURES = ("accuracy", "similarity", "consistency", "responsiveness")


def trainings(
    experiment: Experiment, further: Mapping[str, Sequence[Run]] | None = None
) -> dict[str, list[Run]]:
    """The runs of an experiment by what they were trained with, such as ``"INNT, Gaussian"``.

    Args:
        experiment: every method with every noise that it takes.
        further: other rows, by name.

    Raises:
        ValueError: the experiment has several networks.
    """
    _ = experiment.architecture  # a row is one network, trained with several seeds
    found: dict[str, list[Run]] = {}
    for run in experiment.grid():
        name = METHOD_LABELS[run.label]
        if run.objective().uses_noise:
            name += f", {NOISE_LABELS.get(run.noise, run.noise)}"
        found.setdefault(name, []).append(run)
    return found | {name: list(rows) for name, rows in (further or {}).items()}


@dataclass(frozen=True)
class BackgroundAttack(Attack):
    """An attack on what a network's own heat map leaves below half of its maximum, as in notebook 9."""

    def search(
        self,
        images: Tensor,
        labels: Tensor,
        network: Callable[[Tensor], Tensor],
        start: Tensor,
        where: Tensor | None = None,
        gradient: Tensor | None = None,
    ) -> Tensor:
        """As of :class:`innt_lib.neighbors.Attack`; the network is a split one, for its heat map."""
        if not isinstance(network, SplitNetwork):
            raise ValueError("an attack on the background needs a SplitNetwork, for its heat map")
        background = attackable(cam("gradcam", network, images), Weighing())
        return super().search(images, labels, network, start, background, gradient)


def measure(
    trained: Mapping[str, Sequence[Run]],
    neighbors: Mapping[str, Neighbor],
    *,
    pictures: int = 0,
    device: str = "auto",
) -> pd.DataFrame:
    """Grad-CAM of the predicted class on test pictures and on their neighbours, for every training.

    Trained and measured now, or read from the runs' folders.

    Args:
        trained: of :func:`trainings`.
        neighbors: by name; aimed, where they are aimed, at each network by itself.
        pictures: so many test pictures, evenly spaced; 0 for all.

    Returns:
        What :func:`innt_lib.results.pairs.pairs` says, with ``training``, ``seed``, ``run`` and
        ``collapsed``; ``corruption`` is the neighbour's name.
    """
    runs.ensure([run for rows in trained.values() for run in rows], device)
    tables = []
    for name, rows in progress(list(trained.items()), desc="measuring", unit="training"):
        for run in rows:
            about = {"training": name, "seed": run.seed, "run": run.name}
            found = _kept(run, neighbors, pictures, device)
            tables.append(found.assign(**about, collapsed=runs.collapsed(run)))
    return pd.concat(tables, ignore_index=True)


def _kept(run: Run, neighbors: Mapping[str, Neighbor], pictures: int, device: str) -> pd.DataFrame:
    test = run.load_data().test
    if pictures and pictures < len(test):
        test = test.select(torch.linspace(0, len(test) - 1, pictures).long().numpy())
    what = [VERSION, test.fingerprint, *(f"{name}: {_said(n)}" for name, n in neighbors.items())]

    def measured() -> pd.DataFrame:
        kinds = {(name, 0.0): neighbor for name, neighbor in neighbors.items()}
        return pairs(runs.load(run, device), test, kept_regions(test), kinds, ["gradcam"])

    return kept(run, "neighborhoods", what, measured)


def _said(neighbor: Neighbor) -> str:
    """What tells neighbours apart: their settings, and the weights of a generator."""
    told = {
        name: _fingerprint(value) if isinstance(value, nn.Module) else value
        for name, value in sorted(vars(neighbor).items())
    }
    return f"{type(neighbor).__name__} {told}"


def _fingerprint(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def cells(seen: pd.DataFrame) -> pd.DataFrame:
    """Every measure of every training in every neighbourhood, with 95 % intervals.

    Args:
        seen: of :func:`measure`; collapsed trainings are left out.

    Returns:
        ``training, neighborhood, measure, mean, low, high, seeds``. ``accuracy`` (of the neighbours, in
        [0, 1]) and ``similarity`` (correlation of the two maps): means over trainings with Student's
        interval, NaN for one training; ``consistency`` and ``responsiveness``
        (:func:`innt_lib.results.robustness.robustness`): pooled, with an interval over pictures.
        The neighbourhood ``"none"`` is the picture itself, of which there is the accuracy alone.
    """
    stand = seen[~seen["collapsed"].astype(bool)]
    rows = []
    for (training, place), group in stand.groupby(["training", "corruption"], sort=False):
        key = {"training": training, "neighborhood": place}
        by_seed = group.groupby("seed")
        for name, column in (("accuracy", "right"), ("similarity", "similarity")):
            over = mean_interval(by_seed[column].mean())
            found = {"mean": over.mean, "low": over.low, "high": over.high, "seeds": over.n}
            rows.append(key | {"measure": name} | found)
        row = robustness(group).iloc[0]
        for name in ("consistency", "responsiveness"):
            found = {"mean": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
            rows.append(key | {"measure": name, "seeds": len(by_seed)} | found)
    for training, group in stand.groupby("training", sort=False):
        first = group[
            group["corruption"] == group["corruption"].iloc[0]
        ]  # each picture once a seed
        over = mean_interval(first.groupby("seed")["correct"].mean())
        clean = {"mean": over.mean, "low": over.low, "high": over.high, "seeds": over.n}
        rows.append({"training": training, "neighborhood": "none", "measure": "accuracy"} | clean)
    return pd.DataFrame(rows)


def alike(seen: pd.DataFrame, asked: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Under which trainings the maps of a picture and of its neighbour agree better than under others.

    Args:
        seen: of :func:`measure`; collapsed trainings are left out.
        asked: pairs of trainings, by name; those that are not there are left out.

    Returns:
        As :func:`innt_lib.results.claims.compare` of the similarity: ``neighborhood, a, b, difference``
        (a - b), ``low, high, effect_size, seeds, p_seeds, p_images`` (corrected by Holm over all rows)
        and ``favours``.
    """
    names = {"training": "method", "corruption": "noise", "picture": "image"}
    images = seen.rename(columns=names).assign(network="")
    keys = ["network", "noise", "method", "seed", "collapsed"]
    results = images.groupby(keys, sort=False, as_index=False)["similarity"].mean()
    a, b = [pair[0] for pair in asked], [pair[1] for pair in asked]
    table = compare(results, images, a, b, ["similarity"])
    return table.drop(columns=["network", "metric"]).rename(columns={"noise": "neighborhood"})


def front(table: pd.DataFrame, x: str = "accuracy", y: str = "similarity") -> pd.DataFrame:
    """Which trainings no other one beats in both measures, neighbourhood by neighbourhood.

    Args:
        table: of :func:`cells`.
        x, y: two of ``MEASURES``.

    Returns:
        ``neighborhood, training``, both means, ``front`` (bool); a training that lacks one of
        the two is not on it.
    """
    keys = ["neighborhood", "training"]
    order = list(dict.fromkeys(table[keys].itertuples(index=False, name=None)))
    wide = table.pivot(index=keys, columns="measure", values="mean").loc[order]
    wide = wide.reset_index().dropna(subset=[x])
    rows = []
    for place, group in wide.groupby("neighborhood", sort=False):
        if place == "none":
            continue
        for _, one in group.iterrows():
            better = (group[x] >= one[x]) & (group[y] >= one[y])
            strictly = (group[x] > one[x]) | (group[y] > one[y])
            beaten = (better & strictly).any() or pd.isna(one[y])
            rows.append((place, one["training"], one[x], one[y], not beaten))
    return pd.DataFrame(rows, columns=["neighborhood", "training", x, y, "front"])


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """In how many neighbourhoods each training is on the front, most first.

    Args:
        table: of :func:`front`.
    """
    counts = table.groupby("training", sort=False)["front"].agg(["sum", "size"])
    counts = counts.sort_values("sum", ascending=False, kind="stable")
    return counts.set_axis(["on the front", "of"], axis=1)


def costs(trained: Mapping[str, Sequence[Run]], table: pd.DataFrame, plain: str) -> pd.DataFrame:
    """What every training costs beside the plain one.

    Args:
        trained: of :func:`trainings`, finished.
        table: of :func:`cells`.
        plain: the name of the plain training.

    Returns:
        ``training``; ``clean``: accuracy on the pictures themselves less that of the plain one, in points;
        ``time``: its seconds over those of the plain one, as recorded by the runs, which may have
        been trained on a busy machine.
    """
    clean = table[(table["neighborhood"] == "none")].set_index("training")["mean"]
    seconds = {name: [_seconds(run) for run in rows] for name, rows in trained.items()}
    mean = {name: sum(values) / len(values) for name, values in seconds.items()}
    rows = [
        (name, 100 * (clean.get(name, float("nan")) - clean[plain]), mean[name] / mean[plain])
        for name in trained
    ]
    return pd.DataFrame(rows, columns=["training", "clean", "time"])


def _seconds(run: Run) -> float:
    return float(json.loads((run.directory / "run.json").read_text())["seconds"])
