"""Pairs of maps: against one picture at a time by hand, and what must hold for any network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from innt_lib.explain.cam import cam
from innt_lib.explain.regions import rank_biased_overlap, region_heat
from innt_lib.learn.networks import build
from innt_lib.neighbors import Attack, Corruption, GaussianNoise, near_fixed
from innt_lib.results.pairs import kept_regions, pairs
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
