"""What training by explanation consistency claims, measured picture by picture.

Accuracy, on backgrounds that help and that mislead; where the heat lies; how attacks and noise are
borne; and whether v finds the pictures whose background contradicts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.data.biased import Counterfactuals, conflicting
from innt_lib.explain import metrics
from innt_lib.explain.cam import explain
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors import Attack, GaussianNoise, Neighbor, NeighborhoodNoise, near_fixed
from innt_lib.results import runs
from innt_lib.results.arms import Cell
from innt_lib.results.run import Run, kept
from innt_lib.system.progress import progress
from innt_lib.system.tensors import standardise

BATCH = 64
VERSION = 1  # part of every kept table's name: raise it when the same input gives other numbers
HOT = 0.5  # of a map's maximum: what IoU takes for its region


def measure(
    cells: Sequence[Cell],
    attacks: Mapping[str, Attack],
    counterfactuals: Counterfactuals | None = None,
    *,
    attacked: str = "",
    every: int = 1,
    device: str = "auto",
) -> pd.DataFrame:
    """Every test picture of every training, trained and measured now or read from the runs' folders.

    Args:
        cells: of :func:`innt_lib.results.arms.plan`.
        attacks: by the name of their column, aimed at each network by itself.
        attacked: the set whose networks are attacked, which takes longest; empty: all.
        every: of so many test pictures one is attacked; the others have NaN there.
        counterfactuals: for biased birds: their test pictures in every way.

    Returns:
        ``run, network, noise`` (the set), ``method`` (the arm), ``seed``, ``collapsed``, ``image``,
        ``label``; of 0 or 1: ``clean_top1``; ``fgsm`` and ``pgd``: mean over the attacks of that kind;
        each attack by its name; ``under_noise``: mean over Gaussian and neighborhood noise; ``ebpg``
        (share of the heat in the box), ``pointing`` (1 if the map's maximum lies in the box) and
        ``iou`` of the map's region with the box; NaN without boxes. With counterfactuals
        ``ebpg_mask`` and ``iou_mask`` besides, ``mixed_same``, ``mixed_rand``, ``only_bg`` (0 or 1)
        and ``bg_gap`` (mixed_same - mixed_rand), and ``background``.
    """
    runs.ensure([cell.run for cell in cells], device)
    tables = []
    for cell in progress(cells, desc="measuring", unit="network"):
        test = cell.run.load_data().test
        about = {
            "run": cell.run.name, "network": cell.run.network, "noise": cell.set, "method": cell.arm,
            "seed": cell.run.seed, "collapsed": runs.collapsed(cell.run), "image": list(test.ids),
            "label": test.labels,
        }  # fmt: skip
        wanted = attacks if attacked in ("", cell.set) else {}
        found = _kept(cell.run, test, wanted, counterfactuals, every, device)
        tables.append(pd.DataFrame(about, index=found.index).join(found))
    return pd.concat(tables, ignore_index=True)


def _kept(
    run: Run,
    test: ImageSet,
    attacks: Mapping[str, Attack],
    counterfactuals: Counterfactuals | None,
    every: int,
    device: str,
) -> pd.DataFrame:
    paired = counterfactuals and counterfactuals.same.fingerprint
    what = [VERSION, test.fingerprint, paired, every, *(f"{k}: {a}" for k, a in attacks.items())]

    def measured() -> pd.DataFrame:
        network = runs.load(run, device)
        return pd.DataFrame(of_network(network, test, attacks, counterfactuals, every))

    return kept(run, "probing", what, measured)


def of_network(
    network: SplitNetwork,
    test: ImageSet,
    attacks: Mapping[str, Attack],
    counterfactuals: Counterfactuals | None = None,
    every: int = 1,
) -> dict[str, np.ndarray]:
    """The columns of :func:`measure` that one network has: ``(N,)`` each."""
    masks = None if counterfactuals is None else counterfactuals.masks
    parts = [
        _batch(network, test, rows, attacks, masks, every)
        for rows in torch.arange(len(test)).split(BATCH)
    ]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for kind in ("fgsm", "pgd"):
        if columns := [found[name] for name in attacks if name.startswith(kind)]:
            found[kind] = np.mean(columns, axis=0)
    if counterfactuals is not None:
        same, rand = (_correct(network, s) for s in (counterfactuals.same, counterfactuals.rand))
        found |= {"mixed_same": same, "mixed_rand": rand, "bg_gap": same - rand}
        found["only_bg"] = _correct(network, counterfactuals.only)
        found["background"] = counterfactuals.backgrounds
    return found


def _batch(
    network: SplitNetwork,
    test: ImageSet,
    rows: Tensor,
    attacks: Mapping[str, Attack],
    masks: np.ndarray | None,
    every: int,
) -> dict[str, np.ndarray]:
    device = next(network.parameters()).device
    few = test.select(rows.numpy())
    images = standardise(few.tensor().to(device))
    labels = torch.from_numpy(few.labels).to(device)
    maps, logits = explain("gradcam", network, images)
    found = {"clean_top1": metrics.topk_correct(logits, labels)} | _location(maps, few, rows, masks)
    some = rows % every == 0
    for name, attack in attacks.items():
        found[name] = torch.full(labels.shape, torch.nan)
        if not some.any():  # of a last batch that is short
            continue
        attacked = near_fixed(attack, images[some], rows[some], 0, labels[some], network)
        found[name][some] = _hits(network, attacked, labels[some]).cpu()
    noises: tuple[Neighbor, ...] = (GaussianNoise(0.15), NeighborhoodNoise(1.0))
    noisy = [_hits(network, near_fixed(noise, images, rows, 0), labels) for noise in noises]
    found["under_noise"] = torch.stack(noisy).mean(0)
    return {name: tensor.cpu().numpy().astype(np.float64) for name, tensor in found.items()}


def _location(
    maps: Tensor, images: ImageSet, rows: Tensor, masks: np.ndarray | None
) -> dict[str, Tensor]:
    """Where the heat lies: against the boxes, and against the drawn outlines where there are any."""
    unknown = torch.full((len(maps),), torch.nan)
    found = dict.fromkeys(("ebpg", "pointing", "iou"), unknown)
    hot = maps >= HOT
    if images.boxes is not None:
        boxes = torch.from_numpy(images.boxes).to(maps.device)
        inside = metrics.inside_boxes(boxes, *maps.shape[1:])
        known = boxes.isfinite().all(1) & maps.flatten(1).any(1)
        hottest = maps.flatten(1).argmax(1, keepdim=True)
        pointing = inside.flatten(1).gather(1, hottest)[:, 0].to(maps.dtype)
        found = {
            "ebpg": metrics.ebpg(maps, boxes),
            "pointing": torch.where(known, pointing, torch.nan),
            "iou": torch.where(known, metrics.iou(hot, inside), torch.nan),
        }
    if masks is not None:
        inside = torch.from_numpy(masks[rows.numpy()]).to(maps.device)
        energy = (maps * inside).sum((1, 2)) / maps.sum((1, 2))  # of no heat: NaN
        found |= {"ebpg_mask": energy, "iou_mask": metrics.iou(hot, inside)}
    return found


def _correct(network: SplitNetwork, images: ImageSet) -> np.ndarray:
    device = next(network.parameters()).device
    hits = [
        _hits(network, standardise(pixels.to(device)), labels.to(device))
        for pixels, labels in zip(
            images.tensor().split(BATCH), torch.from_numpy(images.labels).split(BATCH), strict=True
        )
    ]
    return np.asarray(torch.cat(hits).cpu().numpy(), dtype=np.float64)


@torch.no_grad()
def _hits(network: SplitNetwork, images: Tensor, labels: Tensor) -> Tensor:
    return metrics.topk_correct(network(images), labels)


def per_run(images: pd.DataFrame) -> pd.DataFrame:
    """Means over the pictures of each training: accuracies and shares in percent.

    Returns:
        ``run, network, noise, method, seed, collapsed`` and the measures of :func:`measure`;
        ``worst_group``: the lowest accuracy of a species, on its own background (``mixed_same``)
        or on the others (``mixed_rand``).
    """
    keys = ["run", "network", "noise", "method", "seed"]
    values = images.columns.difference([*keys, "collapsed", "image", "label", "background"])
    rows = []
    for key, group in images.groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True)) | {"collapsed": bool(group["collapsed"].any())}
        row |= {name: 100 * group[name].mean() for name in values}
        if "background" in group:
            odd = group[conflicting(group["label"].to_numpy(), group["background"].to_numpy())]
            own = group.groupby("label")["mixed_same"].mean()
            others = odd.groupby("label")["mixed_rand"].mean()
            row["worst_group"] = 100 * min(own.min(), others.min())
        rows.append(row)
    return pd.DataFrame(rows)


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive scores higher than a negative, ties for half; NaN without either.

    Args:
        scores: ``(N,)``.
        positive: ``(N,)`` bool.
    """
    positive = np.asarray(positive, dtype=bool)
    yes, no = np.asarray(scores)[positive], np.asarray(scores)[~positive]
    if not (len(yes) and len(no)):
        return float("nan")
    return float(stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))
