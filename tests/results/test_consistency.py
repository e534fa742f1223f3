"""The experiment on explanation consistency: arms, measures by hand, the mechanism test."""

import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from innt_lib.data import ImageSet
from innt_lib.data.biased import biased_birds, counterfactuals
from innt_lib.explain import metrics
from innt_lib.learn.networks import build
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.weighing import Weighing
from innt_lib.neighbors import Attack
from innt_lib.results import arms, consistency_figures, mechanism, probing, runs
from innt_lib.results.claims import compare
from innt_lib.results.experiment import Experiment

WEIGHING = Weighing(warm_up=1, floor=0.5)  # of two dozen pictures
ATTACKS = {"fgsm 2": Attack(2.0), "pgd 2": Attack(2.0, 3)}


@pytest.fixture
def experiment():
    return Experiment(size=32, epochs=2, batch_size=8, seeds=2, tau=0.05)


@pytest.fixture
def biased(root):
    return {
        f"bias {b:g}": biased_birds(b, train_per_species=4, test_per_species=2) for b in (0.5, 1)
    }


def test_every_arm_differs_in_what_it_says(experiment, root):
    weighing = Weighing(warm_up=1)
    own = {name: arms.settings(name, weighing, 4, "box") for name in arms.ARMS}
    runs_of = {name: experiment.run("smallcnn", **({"epochs": 4} | own[name])) for name in own}
    assert len({run.name for run in runs_of.values()}) == len(arms.ARMS)
    assert own["baseline"] == {"method": "baseline"}
    assert own["longer"]["epochs"] == 4 + 3  # scored before the second, third and fourth
    assert own["jtt"]["epochs"] == 4 + 1
    assert own["oracle"]["weighing"] == dataclasses.replace(weighing, mask="box")
    assert own["innt+consistency"] == {"method": "innt", "weighing": weighing}
    assert own["flips"]["weighing"].floor > 0  # or nothing but flips were trained on
    with pytest.raises(ValueError, match=r"arm \(='luck'\) must be one of baseline, longer"):
        arms.check_arms(["baseline", "luck"])


def test_location_by_hand():
    maps = torch.zeros(2, 4, 4)
    maps[0, 1, 1], maps[0, 3, 3] = 1.0, 0.6
    boxes = torch.tensor([[1.0, 1, 3, 3], [0, 0, 2, 2]])
    images = ImageSet.from_arrays(np.zeros((2, 4, 4, 3), np.uint8), np.arange(2), boxes.numpy())
    masks = np.zeros((2, 4, 4), dtype=bool)
    masks[0, 3] = True
    found = probing._location(maps, images, torch.arange(2), masks)
    assert found["ebpg"][0].item() == pytest.approx(1 / 1.6)
    assert found["pointing"][0] == 1
    assert found["iou"][0].item() == pytest.approx(1 / 5)  # two hot pixels, four in the box
    assert found["ebpg_mask"][0].item() == pytest.approx(0.6 / 1.6)
    assert found["iou_mask"][0].item() == pytest.approx(1 / 5)
    assert all(math.isnan(found[name][1]) for name in ("ebpg", "pointing", "iou", "ebpg_mask"))


def test_inside_a_box_agrees_with_the_energy_in_it():
    boxes = torch.tensor([[0.0, 0, 3, 2], [1, 1, 4, 4], [math.nan] * 4])
    inside = metrics.inside_boxes(boxes, 4, 5)
    assert inside.sum((1, 2)).tolist() == [6, 9, 0]
    share = metrics.ebpg(torch.ones(2, 4, 5), boxes[:2])
    torch.testing.assert_close(inside[:2].sum((1, 2)) / 20, share)


class Palette(nn.Module):
    """Says the background's number: nearest of the six mean colours of the picture's border."""

    def __init__(self, images, backgrounds):
        super().__init__()
        border = torch.stack([self.border(images)[backgrounds == k].mean(0) for k in range(6)])
        self.colours = nn.Parameter(border)

    @staticmethod
    def border(maps):
        return torch.cat([maps[:, :, 0], maps[:, :, -1]], 2).mean(2)

    def forward(self, maps):
        return -torch.cdist(self.border(maps), self.colours).square()


def test_a_network_that_reads_the_background(biased):
    """Right on Mixed-Same and Only-BG, at chance on Mixed-Rand: the measures say so."""
    from innt_lib.data import load, standardise

    train = load(biased["bias 1"], 32).train
    paired = counterfactuals(train, per_species=2)
    only = standardise(paired.only.tensor())
    network = SplitNetwork(nn.Identity(), Palette(only, torch.from_numpy(paired.only.labels)))
    found = probing.of_network(network, paired.rand, ATTACKS, paired)
    assert found["mixed_same"].mean() > 0.9 and found["only_bg"].mean() > 0.9
    conflict = paired.conflicting
    assert (
        found["mixed_rand"][~conflict].mean() > 0.8 and found["mixed_rand"][conflict].mean() < 0.2
    )
    assert np.array_equal(found["bg_gap"], found["mixed_same"] - found["mixed_rand"])
    assert np.array_equal(found["clean_top1"], found["mixed_rand"])
    assert (found["pgd"] <= found["clean_top1"] + 1e-9).all()
    about = {"run": "r", "network": "n", "noise": "bias 1", "method": "baseline", "seed": 0}
    table = pd.DataFrame(
        about | {"collapsed": False, "image": range(12), "label": paired.rand.labels} | found
    )
    row = probing.per_run(table).iloc[0]
    assert row["worst_group"] == 0 and row["bg_gap"] == pytest.approx(100 * found["bg_gap"].mean())


def test_auroc_against_every_pair():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert probing.auroc(scores, positive) == pytest.approx(np.mean(pairs))
    assert probing.auroc(np.array([3.0, 2, 1]), np.array([True, True, False])) == 1
    assert math.isnan(probing.auroc(scores, np.ones(40, bool)))


def test_from_trainings_to_figures(biased, experiment):
    names = ["baseline", "consistency", "shuffled"]
    cells = arms.plan(dataclasses.replace(experiment, seeds=1), biased, names, WEIGHING)
    assert len(cells) == 2 * 3
    train = cells[0].run.load_data().train
    images = probing.measure(cells, ATTACKS, counterfactuals(train, per_species=2))
    assert len(images) == len(cells) * 12
    results = probing.per_run(images)
    found = compare(
        results,
        images,
        ["consistency"] * 2,
        ["baseline", "shuffled"],
        ["bg_gap", "worst_group", "pgd"],
    )
    assert len(found) == 2 * 2 * 3
    assert found.query("metric == 'worst_group'")["p_images"].isna().all()
    assert set(found.query("metric == 'bg_gap'")["favours"]) <= {-1, 0, 1}
    histories = arms.histories(cells)
    assert set(histories["arm"]) == {"consistency", "shuffled"}
    consistency_figures.by_set(results, ["mixed_same", "bg_gap"])
    consistency_figures.under_attack(results[results["noise"] == "bias 1"], list(ATTACKS))
    consistency_figures.weights_over_epochs(histories)
    plt.close("all")
    assert "weighed trainings" in consistency_figures.collapses(histories)
    low = consistency_figures.collapses(histories.assign(effective=0.05))
    assert low.startswith("The weights COLLAPSED") and "2 of consistency, 2 of shuffled" in low


def test_the_mechanism_finds_what_can_be_found(biased, experiment):
    found = mechanism.finds_conflicts(experiment, biased, WEIGHING)
    assert set(found["set"]) == {"bias 0.5"}  # at bias 1 nothing conflicts
    assert len(found) == 2 * len(mechanism.KINDS)
    assert found["auroc"].between(0, 1).all()
    (line,) = mechanism.said(found)
    assert line.startswith("bias 0.5:") and "AUROC: v " in line
    run = mechanism.warmed_up(experiment, biased["bias 0.5"], WEIGHING)[0]
    assert runs.history(run)["epoch"].tolist() == [1]
    table = mechanism.calibration(run, WEIGHING, [0, 255], "cpu")
    assert table["v"].iloc[0] == 0 and table["effective"].iloc[0] == 1
    assert table["flip_rate"].is_monotonic_increasing


def test_the_heaviest_pictures_are_not_all_of_the_first_class():
    v = np.array([1.0, 1.0, 0.2, 1.0, 0.1, 1.0, 1.0, 0.3])
    assert consistency_figures._largest(v, 3).tolist() == [0, 3, 6]
    assert consistency_figures._largest(-v, 4).tolist() == [4, 2, 7, 0]
    assert consistency_figures._largest(v, 99).tolist() == [0, 1, 3, 5, 6, 7, 2, 4]


def test_pictures_of_the_steps(biased, experiment):
    from innt_lib.data import load
    from innt_lib.learn.consistency import Scorer

    train = load(biased["bias 0.5"], 32).train
    network = build("smallcnn", 6).eval()
    figure = consistency_figures.strip(network, train.select([0, 7]), Weighing(mask="segmentation"))
    assert len(figure.axes) == 12
    scores = Scorer(train, WEIGHING)(network)
    consistency_figures.weighty(train, scores, None, each=3)
    plt.close("all")


def test_a_last_batch_of_which_no_picture_is_attacked(tiny_images, monkeypatch):
    monkeypatch.setattr(probing, "BATCH", 5)  # 12 pictures, the last two alone
    network = build("smallcnn", 3).eval()
    found = probing.of_network(network, tiny_images, ATTACKS, every=5)
    whole = probing.of_network(network, tiny_images, ATTACKS)
    for name in ATTACKS:
        assert np.flatnonzero(np.isfinite(found[name])).tolist() == [0, 5, 10]
        assert np.array_equal(found[name][[0, 5, 10]], whole[name][[0, 5, 10]])
    found = probing.of_network(network, tiny_images, ATTACKS, every=9)
    assert np.flatnonzero(np.isfinite(found["pgd"])).tolist() == [0, 9]
