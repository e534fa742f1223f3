"""Every training in every neighbourhood: fronts by hand, attacks on the background, kept tables."""

import dataclasses
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from innt_lib.explain.cam import cam
from innt_lib.learn.networks import build
from innt_lib.neighbors import GaussianNoise
from innt_lib.results import neighborhood_figures, neighborhoods
from innt_lib.results.experiment import Experiment
from innt_lib.system.tensors import standardise


def toy(**columns):
    """Pairs of two trainings, two seeds and four pictures in one neighbourhood."""
    rows = [
        {"training": name, "seed": seed, "picture": k, "corruption": "noise", "collapsed": False}
        for name in ("a", "b") for seed in (0, 1) for k in range(4)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table["rho"], table["similarity"] = 0.5, np.where(table["training"] == "a", 0.9, 0.6)
    table["flipped"] = table["picture"] == 3
    table["correct"] = table["picture"] < 3
    table["right"] = np.where(table["training"] == "a", table["picture"] < 1, table["picture"] < 2)
    return table.assign(**columns)


def test_cells_are_means_over_trainings():
    table = neighborhoods.cells(toy()).set_index(["training", "neighborhood", "measure"])["mean"]
    assert table["a", "noise", "accuracy"] == 0.25
    assert table["b", "noise", "accuracy"] == 0.5
    assert table["a", "none", "accuracy"] == 0.75
    assert table["a", "noise", "similarity"] == pytest.approx(0.9)
    assert table["b", "noise", "consistency"] == 0.5
    assert table["b", "noise", "responsiveness"] == 0.5


def test_collapsed_trainings_do_not_count():
    pairs = toy()
    pairs.loc[(pairs["training"] == "a") & (pairs["seed"] == 1), ["collapsed", "right"]] = True
    table = neighborhoods.cells(pairs)
    row = table.query("training == 'a' and neighborhood == 'noise' and measure == 'accuracy'")
    assert (row["mean"].item(), row["seeds"].item()) == (0.25, 1)


def test_whose_maps_agree_better_by_hand():
    pairs = toy()
    # By seed: a - b is 0.3 and 0.5; of three pictures, as the fourth of b has a flat map.
    pairs.loc[(pairs["training"] == "b") & (pairs["seed"] == 1), "similarity"] = 0.4
    pairs.loc[(pairs["training"] == "b") & (pairs["picture"] == 3), "similarity"] = np.nan
    table = neighborhoods.alike(pairs, [("a", "b"), ("b", "a"), ("a", "not there")])
    assert table[["neighborhood", "a", "b"]].to_numpy().tolist() == [
        ["noise", "a", "b"],
        ["noise", "b", "a"],
    ]
    np.testing.assert_allclose(table["difference"], [0.4, -0.4])
    # Wilcoxon of three equal signs: 2 / 2^3; Holm doubles both.
    np.testing.assert_allclose(table["p_images"], [0.5, 0.5])
    assert table["favours"].tolist() == [1, -1] and table["p_seeds"].isna().all()
    figure = neighborhood_figures.differences(table)
    assert [text.get_text() for text in figure.axes[0].texts] == ["+0.40", "-0.40"]
    plt.close(figure)
    pairs["collapsed"] = pairs["seed"] == 0
    (left,) = neighborhoods.alike(pairs, [("a", "b")])["difference"]
    assert left == pytest.approx(0.5)
    assert neighborhoods.alike(pairs, []).empty


def test_the_front_by_hand():
    rows = [
        (name, "noise", measure, value)
        for name, values in {
            "accurate": (0.9, 0.2), "alike": (0.3, 0.9), "both": (0.6, 0.6), "worse": (0.5, 0.6),
            "blind": (0.95, np.nan),
        }.items()
        for measure, value in zip(("accuracy", "similarity"), values, strict=True)
    ]  # fmt: skip
    columns = ["training", "neighborhood", "measure", "mean"]
    best = neighborhoods.front(pd.DataFrame(rows, columns=columns))
    assert set(best.loc[best["front"], "training"]) == {"accurate", "alike", "both"}
    counts = neighborhoods.ranks(best)
    assert counts.loc["both"].tolist() == [1, 1] and counts.loc["worse"].tolist() == [0, 1]
    neighborhood_figures.fronts(best)
    plt.close("all")


def test_an_attack_on_the_background_spares_the_heat(tiny_images):
    network = build("smallcnn", len(tiny_images.classes)).eval()
    images = standardise(tiny_images.tensor())
    labels = torch.from_numpy(tiny_images.labels)
    attacked = neighborhoods.BackgroundAttack(8.0)(images, labels, network)
    hot = (cam("gradcam", network, images) >= 0.5)[:, None].expand_as(images)
    assert torch.equal(attacked[hot], images[hot])
    assert not torch.equal(attacked, images)
    with pytest.raises(ValueError, match="SplitNetwork"):
        neighborhoods.BackgroundAttack(8.0)(images, labels, lambda x: network(x))


def test_measured_once_and_kept(root):
    experiment = Experiment(
        size=16, methods="baseline,nt", noises="gaussian", seeds=1, epochs=1, train_per_class=4,
        test_per_class=2, tau=0.1,
    )  # fmt: skip
    trained = neighborhoods.trainings(experiment)
    assert list(trained) == ["baseline", "NT, Gaussian"]
    columns = {"noise": GaussianNoise(0.3), "background": neighborhoods.BackgroundAttack(8.0)}
    seen = neighborhoods.measure(trained, columns, pictures=4)
    assert set(seen["corruption"]) == set(columns) and seen["picture"].nunique() == 4
    (kept,) = trained["baseline"][0].directory.glob("neighborhoods-*.csv")
    before = kept.stat().st_mtime_ns
    again = neighborhoods.measure(trained, columns, pictures=4)
    pd.testing.assert_frame_equal(seen, again)
    assert kept.stat().st_mtime_ns == before
    other = neighborhoods.measure(trained, columns | {"noise": GaussianNoise(0.5)}, pictures=4)
    assert not other["rho"].equals(seen["rho"])
    table = neighborhoods.cells(seen)
    costs = neighborhoods.costs(trained, table, "baseline").set_index("training")
    assert costs.loc["baseline"].tolist() == [0, 1]
    seconds = [
        json.loads((rows[0].directory / "run.json").read_text())["seconds"]
        for rows in trained.values()
    ]
    assert costs["time"].iloc[1] == pytest.approx(seconds[1] / seconds[0])
    neighborhood_figures.everywhere(table, neighborhoods.MEASURES)
    plt.close("all")
    with pytest.raises(ValueError, match="method"):
        dataclasses.replace(experiment, methods="nothing")
    with pytest.raises(ValueError, match="networks .='smallcnn,resnet8'. must be a single one"):
        neighborhoods.trainings(dataclasses.replace(experiment, networks="smallcnn,resnet8"))
