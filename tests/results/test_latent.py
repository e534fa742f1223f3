"""Measures of neighbours, verdicts and controls of the notebook on latent space."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from innt_lib.learn.generation import Generation, build_generator
from innt_lib.learn.generators import freeze
from innt_lib.learn.networks import build
from innt_lib.neighbors import LVAT, VAT
from innt_lib.results import latent, latent_claims, latent_figures
from innt_lib.results.experiment import Experiment
from innt_lib.system.tensors import standardise, to_pixels

SMALL = {"vae_width": 4, "latent_size": 5, "glow_width": 4, "glow_blocks": 1, "size": 16}


@pytest.fixture
def made(tiny_images):
    network = build("smallcnn", 3).eval()
    with torch.no_grad():
        network.head[-1].weight.mul_(6)  # so that predictions are not all alike
    generators = {}
    for kind in ("vae", "glow"):
        generator = build_generator(Generation(kind=kind, width=4, blocks=1, latent=5), 16)
        generator.loss(to_pixels(standardise(tiny_images.tensor())), torch.Generator())
        generators[kind] = freeze(generator)
    experiment = Experiment(**SMALL, epsilon_vat=0.5, epsilon_vae=2.0, epsilon_glow=3.0, tau=1.0)
    return network, generators, latent.neighbors_of(experiment, generators)


def test_neighbours_of_an_experiment_are_those_of_its_methods(made):
    _, generators, neighbors = made
    assert list(neighbors) == ["vat", "lvat_vae", "lvat_glow"]
    assert type(neighbors["vat"]) is VAT and neighbors["vat"].strength == 0.5
    assert isinstance(neighbors["lvat_glow"], LVAT) and neighbors["lvat_glow"].strength == 3.0
    assert neighbors["lvat_vae"].generator is generators["vae"]


def test_what_is_measured_is_what_one_would_compute(made, tiny_images):
    network, _, neighbors = made
    found, table = latent.search(network, tiny_images, neighbors["vat"], batch_size=5)
    x = standardise(tiny_images.tensor())
    p, q = network(x).softmax(1), network(found.images).softmax(1)
    kl = (p * (p.log() - q.log())).sum(1).detach()
    np.testing.assert_allclose(table["kl"], kl, rtol=1e-3, atol=1e-6)
    assert table["flipped"].tolist() == (p.argmax(1) != q.argmax(1)).tolist()
    np.testing.assert_allclose(table["distance"], 0.5, rtol=1e-3)
    assert table["usable"].all() and table["picture"].tolist() == list(range(12))


def test_around_at_rest_random_and_adversarial(made, tiny_images):
    network, _, neighbors = made
    table = latent.around(network, tiny_images, neighbors)
    assert len(table) == 3 * 3 * 12
    still = table[table["r"] == "r = 0"].groupby("neighbor")["moved"].max()
    assert still.max() < 1e-5
    exact = table.query("r == 'r = 0' and neighbor in ['vat', 'lvat_glow']")
    assert exact["distance"].max() < 1e-3 and exact["kl"].max() < 1e-4
    kl = table.groupby(["neighbor", "r"])["kl"].mean()
    for name in neighbors:
        assert kl[name, "adversarial r"] > kl[name, "random r"]
    shown = latent_figures.around_table(table)
    assert len(shown) == 9 and set(shown["dropped"]) == {0}


def test_vat_is_put_at_the_very_distance_of_each_latent_neighbour(made, tiny_images):
    network, _, neighbors = made
    spaces = {name: neighbors[name] for name in ("lvat_vae", "lvat_glow")}
    table = latent.at_equal_distance(network, tiny_images, spaces)
    for name, group in table.groupby("neighbor"):
        radius = group["distance"].to_numpy()
        found, pixels = latent.search(network, tiny_images, VAT(), radius=radius)
        np.testing.assert_allclose(pixels["distance"], radius, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(pixels["kl"], group["kl_vat"], rtol=1e-5)
        own = latent.search(network, tiny_images, spaces[name])[1]
        np.testing.assert_allclose(own["kl"], group["kl"], rtol=1e-5)


def test_matched_strengths(made, tiny_images):
    network, _, neighbors = made
    glow = neighbors["lvat_glow"]
    goal = latent.search(network, tiny_images, glow)[1]
    by_distance = latent_claims.matched(network, tiny_images, glow, "distance")
    assert by_distance == pytest.approx(goal["distance"].mean(), rel=0.06)
    by_kl = latent_claims.matched(network, tiny_images, glow, "kl")
    near = latent.search(network, tiny_images, VAT(by_kl))[1]["kl"].mean()
    assert near == pytest.approx(goal["kl"].mean(), rel=0.3)


def test_verdicts_by_hand():
    rng = np.random.default_rng(0)
    rows = [
        {"network": "n", "neighbor": name, "seed": seed, "picture": i,
         "kl": sign * 0.5 + 1 + 0.01 * rng.random(), "kl_vat": 1 + 0.01 * rng.random()}
        for name, sign in (("lvat_vae", 1), ("lvat_glow", -1)) for seed in range(3) for i in range(20)
    ]  # fmt: skip
    adverse = latent_claims.more_adverse(pd.DataFrame(rows))
    assert adverse["favours"].tolist() == [1, -1]
    assert adverse["difference"].tolist() == pytest.approx([0.5, -0.5], abs=0.01)
    row = {"network": "n", "noise": "gaussian", "p_seeds": 0.01, "p_images": 0.01}
    compared = pd.DataFrame([
        row | {"metric": "clean_top1", "a": "lvat_vae", "b": "vat", "favours": 1, "labels": 100},
        row | {"metric": "clean_top1", "a": "lvat_vae", "b": "vat", "favours": -1, "labels": 0},
        row | {"metric": "similarity", "a": "lvat_vae", "b": "vat", "favours": 1, "labels": 0},
        row | {"metric": "similarity", "a": "vat", "b": "nt", "favours": 1, "labels": 0},
    ])  # fmt: skip
    beats = [("lvat_vae", "vat"), ("lvat_glow", "vat")]
    found = latent_claims.verdicts(compared, adverse, beats).set_index("claim")["verdict"]
    assert found.to_dict() == {
        "LVAT-VAE beats VAT with few labels": "holds",
        "LVAT-VAE beats VAT with all labels": "does not hold",
        "LVAT-Glow beats VAT with few labels": "not measurable here",
        "LVAT-Glow beats VAT with all labels": "not measurable here",
        "LVAT-VAE's neighbours are more adverse than VAT's at the same distance": "holds",
        "LVAT-Glow's neighbours are more adverse than VAT's at the same distance": "does not hold",
        "VAT's maps are steadier under noise than NT's": "holds",
    }


def test_controls_are_runs_that_differ_in_one_thing(made, tiny_images, root):
    network, _, neighbors = made
    experiment = Experiment(**SMALL, dataset="birds", batch_size=8, epochs=1, seeds=2, tau=1.0)
    found = latent_claims.controls(experiment, network, tiny_images, neighbors, 8)
    assert len(found) == 8 and all(len(grid) == 2 for grid in found.values())
    names = [run.name for grid in found.values() for run in grid]
    assert len(set(names)) == len(names) and all(run.labels == 8 for run in found.popitem()[1])
    still = found["LVAT-VAE, epsilon 0"][0]
    usual = experiment.grid(methods="lvat_vae", labels=8)[0]
    assert dataclasses.replace(still, vat=usual.vat) == usual and still.vat.epsilon == 0
    table = pd.DataFrame({"clean_top1": [50.0, 60.0], "similarity": [0.5, 0.7]})
    row = latent_claims.summary("x", table)
    assert (row["error"], row["similarity"], row["trainings"]) == (45.0, pytest.approx(0.6), 2)


def test_experiment_passes_its_settings_on(root):
    made = Experiment(**SMALL, epsilon_vae=0.7, iterations=2, labels=8, batch_size=8, tau=1.0,
                      flip=False, direction="random", levels="joint", vae_epochs=3)  # fmt: skip
    run = made.grid(methods="lvat_vae", seeds=1)[0]
    assert (run.label, run.labels, run.flip) == ("lvat_vae", 8, False)
    assert (run.vat.epsilon, run.vat.iterations, run.vat.direction) == (0.7, 2, "random")
    assert run.vat.levels == "joint" and run.vat.generator == made.generation("vae")
    assert (run.vat.generator.width, run.vat.generator.epochs) == (4, 3)
    assert made.strengths["gaussian"] == 0.15
    for options, said in (
        ({"methods": "lvat"}, r"method \(='lvat'\) must be one of .*lvat_vae, lvat_glow"),
        ({"methods": "vat", "epsilon_vat": -1.0}, r"epsilon \(=-1.0\)"),
        ({"flip": 1}, r"flip \(=1\) must be True or False"),
        ({"methods": "lvat_vae", "latent_size": 0}, r"latent \(=0\) of a generator"),
    ):
        with pytest.raises(ValueError, match=said):
            Experiment(**options)


def test_figures_are_drawn(made, tiny_images):
    network, generators, neighbors = made
    latent_figures.generated({"VAE": generators["vae"], "Glow": generators["glow"]}, tiny_images, 4)
    one = tiny_images.select([3])
    figure = latent_figures.neighbours(network, one, neighbors)
    assert "KL" in figure.axes[1].get_xlabel() and "distance" in figure.axes[5].get_xlabel()
    walked = latent_figures.walk(network, one, neighbors, (0.0, 1.0, 3.0))
    assert len(walked.axes) == 9
    for i in range(3):  # at 1 x epsilon stands the neighbour of the figure above
        axes = figure.axes[1 + i], walked.axes[3 * i + 1]
        above, here = (ax.images[0].get_array().astype(int) for ax in axes)
        assert abs(above - here).max() <= 1, i  # a batch of another size rounds otherwise
    means = latent.sweep(network, tiny_images, neighbors, (0.5, 1.0))
    assert len(latent_figures.against_distance(means).axes[0].lines) == 3
    results = pd.DataFrame({"method": ["vat", "vat", "nt"], "labels": ["100", "100", "all"],
                            "error": [30.0, 32.0, 20.0]})  # fmt: skip
    assert latent_figures.by_labels(results, {"error": "error"}).axes[0].get_ylabel() == "error"
    history = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "bits": [np.nan, np.nan]})
    latent_figures.generator_curves({"VAE": history, "Glow": history.assign(bits=[5.0, 4.0])})


def test_intervals_are_cut_to_what_is_possible_and_two_trainings_have_none():
    rows = [
        ("400", "vat", "error", 2.0, -1.0, 5.0, 3),
        ("400", "vat", "similarity", 0.5, 0.2, 1.2, 3),
        ("400", "nt", "error", 3.0, -9, 99, 2),
        ("400", "nt", "similarity", 0.6, -9, 9, 2),
    ]
    columns = ["labels", "method", "metric", "mean", "low", "high", "seeds"]
    table = latent_figures.by_labels_table(pd.DataFrame(rows, columns=columns))
    assert table.loc[("400", "vat")].tolist() == ["2 [0, 5]", "0.5 [0.2, 1]"]
    assert table.loc[("400", "nt")].tolist() == ["3", "0.6"]


def test_methods_that_guess_are_named():
    rows = [("100", "vat", 40.0), ("100", "innt", 12.0), ("all", "innt", 80.0)]
    results = pd.DataFrame(rows, columns=["labels", "method", "clean_top1"]).assign(images=300)
    said = latent_claims.at_chance(results, 10)  # 10 % and three errors of 1.7 points
    assert "INNT (100 labels)" in said and "VAT" not in said and "all" not in said
    better = results[results["clean_top1"] > 30]
    assert latent_claims.at_chance(better, 10) == "Every method does better than guessing."
