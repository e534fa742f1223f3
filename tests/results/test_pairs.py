"""Pairs of maps: against one picture at a time by hand, and what must hold for any network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from innt_lib.explain.cam import cam
from innt_lib.explain.overlap import rank_biased_overlap
from innt_lib.explain.regions import grid, region_heat
from innt_lib.learn.networks import build
from innt_lib.neighbors import Attack, Corruption, GaussianNoise, near_fixed
from innt_lib.results.pairs import kept_regions, pairs
from innt_lib.results.robustness import robustness
from innt_lib.system.tensors import standardise

CAMS = ["gradcam", "eigencam", "ablationcam"]


@pytest.fixture
def areas(root, tiny_images):
    return kept_regions(tiny_images)


def test_regions_are_kept(root, tiny_images, areas, monkeypatch):
    monkeypatch.setattr("innt_lib.results.pairs.regions", lambda *_: pytest.fail("cut up again"))
    assert np.array_equal(kept_regions(tiny_images), areas)
    assert areas.shape == (12, 224, 224)


def test_a_row_is_what_one_would_compute_by_hand(tiny_images, areas):
    network, noise = build("smallcnn", 3, seed=1).eval(), GaussianNoise(1.0)
    table = pairs(
        network, tiny_images, areas, {("gaussian", 1.0): noise}, CAMS, draws=2, batch_size=5
    )
    assert len(table) == 12 * 2 * 3
    clean = standardise(tiny_images.tensor())
    noisy = near_fixed(noise, clean, torch.arange(12), 1)
    told, says = (network(x).argmax(1) for x in (clean, noisy))
    row = table.query("picture == 7 and draw == 1 and cam == 'gradcam'").iloc[0]
    assert row["flipped"] == bool(told[7] != says[7])
    heat = [region_heat(cam("gradcam", network, x[7:8]), areas[7:8]) for x in (clean, noisy)]
    assert row["rho"] == pytest.approx(float(rank_biased_overlap(*heat, 0.2)), abs=1e-4)
    assert row["rho_0.9"] == pytest.approx(float(rank_biased_overlap(*heat, 0.9)), abs=1e-4)


def test_no_neighbour_no_change_and_no_batch_matters(tiny_images, areas):
    network = build("smallcnn", 3, seed=1).eval()
    still = pairs(network, tiny_images, areas, {("gaussian", 0.0): GaussianNoise(0.0)}, CAMS)
    assert not still["flipped"].any() and (still["rho"].dropna() == 1).all()
    kinds = {("shot", 3.0): Corruption("shot", 3), ("fgsm", 2.0): Attack(2.0)}
    whole = pairs(network, tiny_images, areas, kinds, CAMS[:1])
    few = pairs(network, tiny_images, areas, kinds, CAMS[:1], batch_size=4)
    keys = ["picture", "corruption"]
    joined = whole.merge(few, on=keys)
    assert len(joined) == 24 and (joined["flipped_x"] == joined["flipped_y"]).all()
    np.testing.assert_allclose(joined["similarity_x"], joined["similarity_y"], atol=1e-3)


def test_areas_of_other_images_are_refused(tiny_images, areas):
    with pytest.raises(ValueError, match=r"areas \(of 5 pictures\).*12 images"):
        pairs(build("smallcnn", 3), tiny_images, areas[:5], {}, CAMS)


def test_what_knows_no_chance_is_made_once(tiny_images, areas):
    kinds = {("jpeg", 3.0): Corruption("jpeg", 3), ("shot", 3.0): Corruption("shot", 3)}
    table = pairs(build("smallcnn", 3), tiny_images, areas, kinds, CAMS[:1], draws=3)
    assert table.groupby("corruption")["draw"].nunique().to_dict() == {"jpeg": 1, "shot": 3}


def test_readings_of_a_pair(tiny_images, areas):
    network, noise = build("smallcnn", 3, seed=1).eval(), {("gaussian", 2.0): GaussianNoise(2.0)}
    with torch.no_grad():  # so that it is of two minds
        network.head[-1].bias -= network(standardise(tiny_images.tensor())).mean(0)

    def table(cams=CAMS, **options):
        return pairs(network, tiny_images, areas, noise, cams, **options)

    default, clean, summed = (
        table(**options).fillna(-1) for options in ({}, {"explained": "clean"}, {"score": "sum"})
    )
    flipped = default["flipped"]
    assert flipped.any() and (clean["flipped"] == flipped).all()
    # Another class is explained on flipped copies alone, and Eigen-CAM asks for none.
    assert (clean["rho"] == default["rho"])[~flipped].all()
    assert (clean["similarity"] != default["similarity"])[
        flipped & (default["cam"] == "gradcam")
    ].any()
    assert (clean["rho"] == default["rho"])[default["cam"] == "eigencam"].all()
    assert (summed["rho"] != default["rho"]).any()
    squares = pairs(network, tiny_images, grid(12), noise, CAMS[:1])
    assert squares["rho"].between(0, 1).all()


def test_pictures_of_one_region_are_unknown_and_counted(tiny_images):
    whole = np.zeros((12, 16, 16), np.int16)
    table = pairs(
        build("smallcnn", 3), tiny_images, whole, {("shot", 5.0): Corruption("shot", 5)}, CAMS
    )
    assert table["rho"].isna().all() and table["similarity"].notna().any()
    found = robustness(table, ["cam"])
    assert (
        (found["dropped"] == 12).all() and found["rm"].isna().all() and (found["kept"] == 0).all()
    )


def test_bad_input_is_named_before_any_work(tiny_images, areas, monkeypatch):
    monkeypatch.setattr("innt_lib.results.pairs.explain_all", lambda *_: pytest.fail("worked"))
    network, kinds = build("smallcnn", 3), {("shot", 3.0): Corruption("shot", 3)}
    for options, message in (
        ({"cams": ["gradcam", "camgrad"]}, r"cam \(='camgrad'\) must be one of gradcam, "),
        ({"cams": []}, "cams must not be empty"),
        ({"neighbors": {}}, "neighbors must not be empty"),
        ({"draws": 0}, r"draws \(=0\) must be at least 1"),
        ({"explained": "noisy"}, r"explained \(='noisy'\) must be one of own, clean"),
    ):
        given = {"neighbors": kinds, "cams": CAMS} | options
        with pytest.raises(ValueError, match=message):
            pairs(network, tiny_images, areas, **given)
